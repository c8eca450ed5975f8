"""Pilotage: progressive rollout of features to real users, judged step by step and taken back when objectives break."""

__version__ = "0.1.0"
