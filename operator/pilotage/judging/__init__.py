"""Judging: samples in, verdicts out. Pure: no clock, no I/O; everything that it says can be replayed on recorded data.

`reading` makes rules of a spec: each kind of rule is a file (`threshold`, `objective`, `score_rule`, `burn_rate`,
`comparison`, `assignment`, `incident_rule`) that knows what to ask (`questions`) and what to make of the answers
(`evidence`). `criteria` and `units` read what users write; `inference` has the numbers behind sequential judging. Four
verdicts are told apart (pass, breach, no data, unavailable), and one state that is none yet (pending).
"""
