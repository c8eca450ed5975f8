"""Inference: the numbers behind verdicts. Counts in, evidence out; nothing here knows of rules, rollouts or Prometheus.

`sequential` asks whether treatment fails too often, by the thresholds that `noise` learned from the past; `likelihood`
has what both add up, `thinning` makes a small arm of a large one. `power` says how long a fault takes to be seen,
`lift` how much better or worse an arm does, `mismatch` whether users were assigned as admitted.
"""
