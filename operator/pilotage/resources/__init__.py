"""The resources as pydantic models: the single source of `crds/`, of the reference in `docs/` and of validation.

Nothing here does I/O. A model is what a user writes (`spec`) or what the operator observed and decided (`status`); its
docstrings are what `kubectl explain` prints. `crd.py` turns models into CustomResourceDefinitions.
"""
