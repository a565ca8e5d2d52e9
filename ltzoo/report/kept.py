"""Which weights stand behind which results: those that are kept are the ones that were measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltzoo.errors import InputError
from ltzoo.hub import WEIGHTS, damaged_files, list_folder, read_manifest
from ltzoo.report.result import IN_THE_PACKAGE, Result
from ltzoo.report.result_files import result_of


def contradictions(results: Sequence[Result], zoo: Path) -> dict[str, str]:
    """Hold results against the checkpoints that come with the package.

    Args:
        results: all results.
        zoo: the folder of the checkpoints.

    Returns:
        A name to what is wrong with it, for each that is not in order.
    """
    kept: dict[str, list[Result]] = {}
    for result in results:
        if result.weights == IN_THE_PACKAGE:
            kept.setdefault(result.model, []).append(result)
    there = list_folder(zoo)
    found = {name: _contradiction(kept.get(name, []), zoo / name) for name in there}
    found |= {
        name: f"results/{claiming[0].place} says that its checkpoint is in {IN_THE_PACKAGE}, where there is none"
        for name, claiming in kept.items()
        if name not in there
    }
    return {name: fault for name, fault in sorted(found.items()) if fault}


def _contradiction(claiming: Sequence[Result], checkpoint: Path) -> str:
    if len(claiming) != 1:
        several = "no result says" if not claiming else f"{len(claiming)} results say"
        return f"{several} that its weights are those in {IN_THE_PACKAGE}; collect its runs again"
    (result,) = claiming
    damaged = damaged_files(checkpoint)
    if damaged:
        return f"{checkpoint / damaged[0]} is damaged or missing"
    try:
        measured = replace(result_of(checkpoint), weights=IN_THE_PACKAGE)
    except InputError as error:
        return str(error)
    if measured.weights_sha256 != result.weights_sha256:
        return f"results/{result.place} is of other weights than the checkpoint in {IN_THE_PACKAGE}"
    return (
        "" if measured == result else f"results/{result.place} says otherwise than the checkpoint in {IN_THE_PACKAGE}"
    )


def weights_in(zoo: Path, name: str) -> str | None:
    """Give the SHA-256 of the weights that a zoo keeps of a recipe; None where it keeps none."""
    return (read_manifest(zoo / name) or {}).get(WEIGHTS) if name in list_folder(zoo) else None
