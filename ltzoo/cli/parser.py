"""What all commands share: the parser, and how a command is run and fails."""

import argparse
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ltzoo.errors import InputError, Interrupted, first_line, printable

_PACKAGE = Path(__file__).parents[1]

Command = Callable[[argparse.Namespace], int | None]
"""Does the work; may return an exit code, 0 otherwise."""


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs of prose; keeps the lines of a paragraph that begins with `example`."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for paragraph in text.split("\n\n"):
            kept = paragraph.startswith("example")
            filled.append(paragraph if kept else super()._fill_text(paragraph, width, indent))
        return "\n\n".join(filled)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, exit code 2.

    Args:
        examples: command lines that the help ends with.
        **kwargs: for `argparse.ArgumentParser`.
    """

    def __init__(self, *, examples: Sequence[str] = (), epilog: str | None = None, **kwargs: Any) -> None:
        heading = "example:" if len(examples) == 1 else "examples:"
        shown = "\n  ".join([heading, *examples]) if examples else None
        super().__init__(
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
            epilog="\n\n".join(filter(None, (epilog, shown))) or None,
            **kwargs,
        )
        self.add_argument(
            "--import",
            action="append",
            dest="modules",
            default=[],
            metavar="MODULE",
            help="first import a module of your own that registers losses, perturbations or recipes",
        )

    def error(self, message: str) -> NoReturn:
        """Report bad arguments."""
        sys.stderr.write(f"{self.prog}: error: {printable(message)}; {self.prog} --help lists the options\n")
        sys.exit(2)


def run(parser: Parser, command: Command, argv: list[str] | None) -> int:
    """Run a command; bad input is reported in one line on stderr, with exit code 2.

    Args:
        parser: parses the arguments.
        command: does the work.
        argv: arguments, those of the process if None.
    """
    _escape_what_cannot_be_encoded()
    arguments = parser.parse_args(argv)
    try:
        for module in arguments.modules:
            _import(module)
        code = command(arguments)
        sys.stdout.flush()
    except InputError as error:
        if is_main_process() or _speaks_for_its_machine():
            sys.stderr.write(f"{parser.prog}: error: {printable(' '.join(str(error).split()))}\n")
        return 2
    except RuntimeError as error:
        if str(error).startswith("Symlink loop from "):  # Path.resolve, before Python 3.13
            sys.stderr.write(f"{parser.prog}: error: a link leads to itself: {printable(str(error)[18:])}\n")
            return 2
        if not (int(os.environ.get("WORLD_SIZE", "1")) > 1 and "by peer" in str(error)):
            raise
        sys.stderr.write(f"{parser.prog}: another process has stopped; it says why\n")
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        _discard(sys.stdout)
        return 0
    except OSError as error:
        _report_os_error(parser.prog, error)
        return 2
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{parser.prog}: {error if isinstance(error, Interrupted) else 'interrupted'}\n")
        return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
    return code or 0


def _report_os_error(prog: str, error: OSError) -> None:
    """Print one line; an error without a file is of standard output, a socket or a library that hides the name."""
    about = f"{error.filename} cannot be used: " if error.filename else ""
    why = error.strerror or first_line(error)
    if not error.filename and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        about = "standard output, or a file of another program's, cannot be written: "
    # The error can be that of the disk that the output goes to.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _discard(stream)
    with suppress(OSError):
        sys.stderr.write(f"{prog}: error: {about}{why}\n")


def _discard(stream: TextIO) -> None:
    """Discard what a stream still holds, which Python would write when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _escape_what_cannot_be_encoded() -> None:
    """Let standard output escape what its encoding lacks, as standard error does: a class may have any name."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def is_main_process() -> bool:
    """Return whether this process reports: the first of several launched processes, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _speaks_for_its_machine() -> bool:
    """Return whether this is the first process of another machine and has not met the others: they cannot speak for it.

    A file can be missing on one machine alone. Processes that have met report such an error themselves.
    """
    if os.environ.get("LOCAL_RANK") != "0":
        return False
    distributed = sys.modules.get("torch.distributed")
    return distributed is None or not (distributed.is_available() and distributed.is_initialized())


def _import(module: str) -> None:
    """Import a user's module; the working directory is searched too."""
    if module.endswith(".py"):
        raise InputError(f"--import wants a module, not a file; write {module.removesuffix('.py')}")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        user_lines = [f" ({file}:{line})" for file, line in frames if _is_user_code(file)]
        found = f"{type(error).__name__}: {error}{user_lines[-1] if user_lines else ''}"
        raise InputError(f"the module {module!r} cannot be imported: {found}") from error


def _is_user_code(file: str) -> bool:
    """Return whether a frame's file belongs to the user: neither to this package nor to Python's import system."""
    return not file.startswith(("<frozen", importlib.__file__)) and not Path(file).is_relative_to(_PACKAGE)
