"""The shell for TenantQuotas: watches them, measures, writes status, and keeps what belongs to a tenant as it should.

Every replica knows all TenantQuotas; only the leader acts. What is kept is a list of small keepers (`keeping.Keeper`),
each with one job, each level-triggered.
"""
