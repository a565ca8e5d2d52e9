"""Argument types, and options that several commands have."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ltzoo.cli.parser import Parser
from ltzoo.errors import InputError, first_line

if TYPE_CHECKING:
    import torch


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


def parse_seed(text: str) -> int:
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


def check_written_files(arguments: argparse.Namespace, suffixes: Mapping[str, tuple[str, ...]]) -> None:
    """Check the suffix of each file to write, and that no two options name the same file.

    Args:
        arguments: of the command.
        suffixes: the options, as attributes of `arguments`, and how the names of their files must end; empty for any.

    Raises:
        InputError: a suffix is wrong, or two options name one file.
    """
    taken: dict[Path, str] = {}
    for option, endings in suffixes.items():
        path, flag = getattr(arguments, option), f"--{option.replace('_', '-')}"
        if path is None:
            continue
        if endings and path.suffix not in endings:
            raise InputError(f"{flag} cannot write {path.name!r}; end the name in {' or '.join(endings)}")
        other = taken.setdefault(path.resolve(), flag)
        if other != flag:
            raise InputError(f"{other} and {flag} name the same file {path}; name two")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def add_model_option(parser: Parser) -> None:
    """Add `--model`, a name for `ltzoo.registry.find_checkpoint`."""
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a recipe's name, hf-hub:user/repo[@revision] or local-dir:path"
    )


def add_tta_option(parser: Parser) -> None:
    """Add `--tta`."""
    parser.add_argument(
        "--tta",
        choices=["flip", "crops"],
        help="test-time augmentation: average the logits of each image and its mirror image (flip), or of its four "
        "corners and its centre at a larger resolution (crops; images in files)",
    )


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


def add_workers_option(files: argparse._ArgumentGroup) -> None:
    """Add `-j` and `--workers`."""
    files.add_argument(
        "-j",
        "--workers",
        type=not_below_zero,
        metavar="N",
        help="processes that decode images (0)",
    )


def parse_held_out(text: str) -> int | float:
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


def add_half(parser: Parser) -> None:
    """Add `--half`."""
    parser.add_argument(
        "--half",
        action="store_true",
        help="write the checkpoint's weights in float16, half the size; the figures are those of the rounded weights "
        "(without it: in float16 only if that changes the accuracy of no class)",
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
