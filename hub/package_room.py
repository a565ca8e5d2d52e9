"""Which checkpoints the package keeps: it has little room, and real images need it most."""

from pathlib import Path

from ltzoo.checkpoints import WEIGHTS, list_folder
from ltzoo.recipes import FirstStage
from ltzoo.report import Result

PACKAGE = 48_000_000
"""Most bytes that the checkpoints of the package may take."""
LARGEST = 8_000_000
"""Largest size of weights in the package, in bytes; a ResNet-34 has five times as much in float16."""
DIGITS = (
    "resnet20_digitslt_ce_sgd",
    "resnet20_digitslt_ce_sam",
    "resnet20_digitslt_vs_ssesam",
    "resnet20_digitslt_ce_drw_sgd",
    "resnet20_digitslt_ce_drw_sam",
    "resnet20_digitslt_ce_drw_ssesam",
)
"""The recipes on the digits whose weights come with the package, for documents and tests; real images need the room."""


def no_room(result: Result, checkpoint: Path, zoo: Path) -> str:
    """Return why the package does not keep a checkpoint; empty if it does.

    Args:
        result: of the run.
        checkpoint: the run's checkpoint.
        zoo: the folder of the package's checkpoints.
    """
    recipe = result.recipe
    if recipe is not None and recipe.protocol == "digits" and result.model not in DIGITS:
        return "left out of the package, which has those of few recipes on the digits"
    if recipe is not None and recipe.protocol == "fast_cifar" and isinstance(recipe.start, FirstStage):
        return "left out of the package, which has those of their first stage"
    if (checkpoint / WEIGHTS).stat().st_size > LARGEST:
        return "too large for the package"
    others = sum(_size(zoo / name) for name in list_folder(zoo) if name != result.model)
    if others + _size(checkpoint) > PACKAGE:
        return f"left out of the package, which has {others / 1e6:.1f} of {PACKAGE / 1e6:.0f} MB"
    return ""


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
