"""Metrics: Prometheus as the source of evidence, asked in batches, never raising for its faults.

`client` speaks its HTTP API, `fold` turns what came back into answers, `source` decides what is asked how often.
"""
