"""The one error that a person who starts the testbed has to read."""


class SetupError(Exception):
    """Something that the testbed needs is missing or did not start; the text names it and the remedy."""
