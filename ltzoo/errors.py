"""The error for bad input, and how its one line quotes other texts."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input: one line with what was wrong, what was found and what to do. The command line exits with 2."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def root_cause(error: BaseException) -> BaseException:
    """Return the error that came first: the last one in the chain of causes and contexts."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__ or error
    return error


def printable(text: str) -> str:
    """Escape a text with line ends, control characters or undecodable bytes, so that it fits into one line."""
    return text if text.isprintable() else repr(text)


def first_few(items: Sequence[str]) -> str:
    """Join up to five items; an ellipsis stands for the others."""
    return ", ".join(items[:5]) + (", ..." if len(items) > 5 else "")
