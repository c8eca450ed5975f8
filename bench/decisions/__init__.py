"""How good the judge's decisions are: simulated rollouts, the rules of the peers, and the judge that is released.

`noises` and `worlds` draw hour-long rollouts with a known truth: healthy, or faulty from a known moment. `rules`
holds one file per family of rules, each written from what its project publishes, and `ours`, which calls the
operator's own code. `cells` says what is compared, `running` spreads it over processes, `table`, `goals` and `plots`
tell the outcome. Nothing here is fitted: the settings of a rule are its project's, and seeds are drawn anew on
request.
"""
