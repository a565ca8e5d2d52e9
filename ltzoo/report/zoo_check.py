"""Checks that the checkpoints of a zoo and the results agree: each kept checkpoint is the one that was measured."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltzoo.checkpoints import WEIGHTS, damaged_files, list_folder, read_manifest
from ltzoo.errors import InputError
from ltzoo.report.result import Result
from ltzoo.report.result_files import result_from_checkpoint


def zoo_path(zoo: Path, results: Path) -> str:
    """Return the zoo's path relative to the parent of the results folder, as results record it: `hub/zoo`."""
    return Path(os.path.relpath(zoo.resolve(), results.resolve().parent)).as_posix()


def contradictions(results: Sequence[Result], zoo: Path, path: str) -> dict[str, str]:
    """Compare results with the checkpoints of a zoo.

    Args:
        results: all results.
        zoo: the folder of the checkpoints.
        path: how results name it, see `zoo_path`.

    Returns:
        Name to what is wrong; empty if everything agrees.
    """
    kept: dict[str, list[Result]] = {}
    for result in results:
        if result.weights == path:
            kept.setdefault(result.model, []).append(result)
    available = list_folder(zoo)
    found = {name: _contradiction(kept.get(name, []), zoo / name, path) for name in available}
    found |= {
        name: f"results/{claiming[0].path} names a checkpoint in {path}, but there is none"
        for name, claiming in kept.items()
        if name not in available
    }
    return {name: fault for name, fault in sorted(found.items()) if fault}


def _contradiction(claiming: Sequence[Result], checkpoint: Path, path: str) -> str:
    if len(claiming) != 1:
        several = "no result names" if not claiming else f"{len(claiming)} results name"
        return f"{several} the weights in {path}; collect its runs again"
    (result,) = claiming
    damaged = damaged_files(checkpoint)
    if damaged:
        return f"{checkpoint / damaged[0]} is damaged or missing"
    try:
        measured = replace(result_from_checkpoint(checkpoint), weights=path)
    except InputError as error:
        return str(error)
    if measured.weights_sha256 != result.weights_sha256:
        return f"results/{result.path} was measured with different weights than those of the checkpoint in {path}"
    return "" if measured == result else f"results/{result.path} differs from the checkpoint in {path}"


def zoo_weights(zoo: Path, name: str) -> str | None:
    """Return the SHA-256 of a recipe's weights in a zoo; None without a checkpoint."""
    return (read_manifest(zoo / name) or {}).get(WEIGHTS) if name in list_folder(zoo) else None
