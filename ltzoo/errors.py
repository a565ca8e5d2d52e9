"""The one error that a user's input can cause, and the first line of other people's."""


class InputError(ValueError):
    """Bad input: one line that says what was wrong, what was found and what to do. The command line exits with 2."""


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message; its kind where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
