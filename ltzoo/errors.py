"""The error for bad input, and how other errors are quoted in one line."""


class InputError(ValueError):
    """Bad input: one line with what was wrong, what was found and what to do. The command line exits with 2."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
