"""What all commands share: the parser, how a command is run and fails, argument types and common options."""

import argparse
import errno
import importlib
import io
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ltzoo.errors import InputError, Interrupted, first_line, printable

if TYPE_CHECKING:
    import torch

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


def at_least_one(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def not_below_zero(text: str) -> int:
    """Parse a whole number of at least 0."""
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def whole_numbers(text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by commas."""
    return tuple(_whole(word) for word in text.split(","))


def seed(text: str) -> int:
    """Parse a seed, a whole number from 0 to 2^32 - 1."""
    value = _whole(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be from 0 to {2**32 - 1}, not {text}")
    return value


def writable(text: str) -> Path:
    """Parse the path of a file to write, whose folder must exist; checked before any work is done."""
    path = Path(text)
    try:
        missing = path.is_dir() or not path.resolve().parent.is_dir()
    except (OSError, RuntimeError) as error:  # a name that is too long; a link to itself
        raise argparse.ArgumentTypeError(f"{text[:80]} cannot be written: {first_line(error)[:80]}") from error
    if missing:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: it is a folder, or its folder does not exist")
    return path


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def add_data_options(parser: Parser) -> None:
    """Add `--data-dir` and `--download`."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder with one folder per data set, in torchvision's layout or as the Hub's parquet files; the digits "
        "need none; for your own images: their folder, a list (.csv, .txt) or a Hub data set, hfds/USER/NAME "
        "(%(default)s)",
    )
    parser.add_argument("--download", action="store_true", help="download a missing data set")


def add_files_options(parser: Parser) -> argparse._ArgumentGroup:
    """Add the options that say where images in files are and what is their class; returns their group."""
    files = parser.add_argument_group("images in files")
    files.add_argument(
        "--image-root",
        type=Path,
        metavar="DIR",
        help="folder that the paths in lists or tables start from (the folder of the list or table)",
    )
    files.add_argument(
        "--image-column", default="image", metavar="NAME", help="the table's column of images (%(default)s)"
    )
    files.add_argument(
        "--label-column", default="label", metavar="NAME", help="the table's column of classes (%(default)s)"
    )
    files.add_argument(
        "--image-suffix",
        default="",
        metavar="SUFFIX",
        help="what the names in a list or table lack, such as .jpg; added to each",
    )
    files.add_argument(
        "--class-folder",
        choices=["first", "innermost"],
        default="first",
        help="which folder of CLASS/SESSION/photo.jpg is the class: the first, as in torchvision, or the innermost, as "
        "in timm (%(default)s)",
    )
    return files


def add_skip_option(files: argparse._ArgumentGroup) -> None:
    """Add `--skip-unreadable`."""
    files.add_argument(
        "--skip-unreadable",
        type=not_below_zero,
        metavar="N",
        help="check all images first, and leave out at most N that cannot be read",
    )


def held_out(text: str) -> int | float:
    """Parse how many images are held out: a share below 1 of each class, or a whole number of images per class."""
    if "." not in text:
        return at_least_one(text)
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a share such as 0.1 or a whole number from 1 on, not {text!r}")
    return share


def add_save_epochs(parser: Parser) -> None:
    """Add `--save-epochs`."""
    parser.add_argument(
        "--save-epochs",
        type=whole_numbers,
        default=(),
        metavar="N,N,...",
        help="also keep the checkpoint after each of these epochs (counted from 1), in OUTPUT/NAME/seedN/epochs/",
    )


def add_val_interval(group: argparse._ActionsContainer) -> None:
    """Add `--val-interval`, a text for `ltzoo.train.ValInterval`."""
    group.add_argument(
        "--val-interval",
        default="1",
        metavar="N[,EPOCH:N...]",
        help="epochs between evaluations (%(default)s), or a schedule: 20,160:1 is every 20th epoch, from epoch 160 on "
        "each; the last epoch is always evaluated",
    )


def add_device_option(parser: Parser) -> None:
    """Add `--device`, a `torch.device`."""
    import torch

    parser.add_argument(
        "--device",
        type=_device,
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="device to compute on (a CUDA device if there is one)",
    )


def _device(name: str) -> "torch.device":
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
