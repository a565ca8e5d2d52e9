"""Which weights stand behind which results: those that are kept are the ones that were measured."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltzoo.errors import InputError
from ltzoo.hub import WEIGHTS, damaged_files, list_folder, read_manifest
from ltzoo.report.result import Result
from ltzoo.report.result_files import result_of


def place_of(zoo: Path, results: Path) -> str:
    """Say where weights are kept, as results do: the zoo's path from the folder that holds all results, `hub/zoo`."""
    return Path(os.path.relpath(zoo.resolve(), results.resolve().parent)).as_posix()


def contradictions(results: Sequence[Result], zoo: Path, place: str) -> dict[str, str]:
    """Hold results against the checkpoints that a zoo keeps.

    Args:
        results: all results.
        zoo: the folder of the checkpoints.
        place: what results call it, see `place_of`.

    Returns:
        A name to what is wrong with it, for each that is not in order.
    """
    kept: dict[str, list[Result]] = {}
    for result in results:
        if result.weights == place:
            kept.setdefault(result.model, []).append(result)
    there = list_folder(zoo)
    found = {name: _contradiction(kept.get(name, []), zoo / name, place) for name in there}
    found |= {
        name: f"results/{claiming[0].place} says that its checkpoint is in {place}, where there is none"
        for name, claiming in kept.items()
        if name not in there
    }
    return {name: fault for name, fault in sorted(found.items()) if fault}


def _contradiction(claiming: Sequence[Result], checkpoint: Path, place: str) -> str:
    if len(claiming) != 1:
        several = "no result says" if not claiming else f"{len(claiming)} results say"
        return f"{several} that its weights are those in {place}; collect its runs again"
    (result,) = claiming
    damaged = damaged_files(checkpoint)
    if damaged:
        return f"{checkpoint / damaged[0]} is damaged or missing"
    try:
        measured = replace(result_of(checkpoint), weights=place)
    except InputError as error:
        return str(error)
    if measured.weights_sha256 != result.weights_sha256:
        return f"results/{result.place} is of other weights than the checkpoint in {place}"
    return "" if measured == result else f"results/{result.place} says otherwise than the checkpoint in {place}"


def weights_in(zoo: Path, name: str) -> str | None:
    """Give the SHA-256 of the weights that a zoo keeps of a recipe; None where it keeps none."""
    return (read_manifest(zoo / name) or {}).get(WEIGHTS) if name in list_folder(zoo) else None
