"""Judging: samples in, verdicts out. Pure: no clock, no I/O; everything that it says can be replayed on recorded data.

`criteria` reads the rules, `questions` says what Prometheus has to be asked for them, `judge` turns the answers into
findings. Four verdicts are told apart (pass, breach, no data, unavailable), and one state that is none yet (pending).
"""
