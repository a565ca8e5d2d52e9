"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Bad input: one line that says what was wrong, what was found and what to do. The command line exits with 2."""
