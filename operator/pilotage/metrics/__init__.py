"""Metrics: asks Prometheus the questions of judging, in few requests, and tells no data from no answer."""
