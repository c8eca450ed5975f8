"""A simulated day of one workload: how scaling policies keep up with it, and what that costs.

`day` draws the load, `hpa` is Kubernetes' autoscaler as its documentation describes it, `rules` says what is compared,
among it the operator's own code, `running` lives through the day, `plots` and `__main__` tell the outcome.
"""
