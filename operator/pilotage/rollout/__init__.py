"""The rollout's state machine: `decide(plan, rollout, seen, now)` says what to do next, and everything follows from it.

Pure: no clock, no I/O. `plan` reads the spec, `admission` says which users a step means, `policies` are the small rules
in the order of safety, `decide` asks them and writes the new status; `exposure` is what delivery has to bring about.
"""
