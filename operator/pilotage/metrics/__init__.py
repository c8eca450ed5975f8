"""Metrics: Prometheus as the source of evidence, asked in batches, never raising for its faults.

`source` decides what is asked how often: `streams` says what to ask for a question, `asking` asks it, together with
others where `proofs` allows that (`batching`), by `fetching` through `client`; `fold` and `grouping` turn what came
back into answers.
"""
