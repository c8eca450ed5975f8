"""Backtest: a rollout's rules tried on recorded metrics, before they are trusted with users.

`replay` is the operator's loop on a virtual clock: the same plan, rules and decisions, and no I/O. `history` answers
its questions as Prometheus would have at each moment, from few large range queries (or from a file, see `recording`).
`healthy` replays from many starts what a healthy feature would have met, and `proposal` says how to set rules that it
would have broken. `story` and `page` tell it.
"""
