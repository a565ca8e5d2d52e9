"""The errors for bad input and for a signal to stop, and how an error's one line quotes other texts."""

import signal
from collections.abc import Sequence

_LONGEST = 200
_LONGEST_NAME = 300
"""Characters of a value that a message quotes."""


class InputError(ValueError):
    """Bad input: one line with what was wrong, what was found and what to do. The command line exits with 2."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop. The command line exits with 128 + its number, as a shell reports it.

    Args:
        number: the signal.
        agreed: whether all processes that train together stop, after the same step.
    """

    def __init__(self, number: int = signal.SIGINT, agreed: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number, self.agreed = number, agreed


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or the error's type if it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def root_cause(error: BaseException) -> BaseException:
    """Return the error that came first: the last one in the chain of causes and contexts."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__ or error
    return error


def printable(text: str) -> str:
    """Escape each character that a terminal would not show but obey, or that cannot be encoded; leave all others."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def named(text: str) -> str:
    """Make a name or a path that may come from a file `printable`, and leave out the middle of a very long one."""
    return _without_middle(printable(text), _LONGEST_NAME)


def shown(value: object) -> str:
    """Quote a value from a file in a message: on one line, and not at full length."""
    return shortened(repr(value), _LONGEST)


def first_few(names: Sequence[str], most: int = 5, joint: str = ", ") -> str:
    """Join the first few names, each as `named` gives it; an ellipsis stands for the others."""
    return joint.join([*map(named, names[:most]), *(["..."] if len(names) > most else [])])


def counted(number: int, one: str, several: str | None = None) -> str:
    """Format a number with its noun: `1 image`, `2,000 images`; a plural in other ways than by s is given."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def shortened(text: str, most: int = 400) -> str:
    """Keep the beginning and the end of a long text, on one line: the cause often stands last."""
    return _without_middle(" ".join(text.split()), most)


def _without_middle(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"
