"""Tenants: quota, reservations, scaling and cost, as functions of what was measured.

Pure like `judging` and `rollout`, and below `rollout`, so that a step's gate can be one of its policies. Amounts are
`Decimal` and exact; what is unknown is None, never zero.
"""
