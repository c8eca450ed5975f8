"""The resources as pydantic models: the single source of `crds/`, of the reference in `docs/` and of validation.

A model is what a user writes (`spec`) or what the operator observed and decided (`status`); its docstrings are what
`kubectl explain` prints. `crd.py` turns models into CustomResourceDefinitions. Nothing here does I/O, but for
`generate.py`, which writes the generated files.
"""
