"""The parts of a run that were computed on another machine, with other threads or with other versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.errors import InputError, counted
from ltzoo.train.state import read_progress

_END = ("epochs", "steps")
_HOW = ("machine", "threads", "versions")


def earlier_parts(recorded: Mapping[str, Any], now: Mapping[str, Any], state: Path) -> list[dict[str, Any]]:
    """List the parts of a run that is resumed on another machine, with other threads or with other versions.

    All of these decide how sums are rounded. They may change, since machines differ and are lent.

    Args:
        recorded: how the existing run computed so far, see `RunFolder.recorded`.
        now: how the part computes that begins, with the same keys.
        state: the state that it begins from; if there is no such file, nothing was computed.

    Returns:
        The value of `EARLIER_PARTS`; empty if there are none.

    Raises:
        InputError: the state or the record of earlier parts is damaged.
    """
    if not state.exists():
        return []
    parts = recorded.get(EARLIER_PARTS, [])
    if not (isinstance(parts, list) and all(_is_part(part) for part in parts)):
        raise InputError(
            f"{state.parent.parent} has a damaged run ({EARLIER_PARTS} in recipe.yaml must be a list of records with "
            f"{', '.join((*_END, *_HOW))}); remove it, or name another --output"
        )
    before, here = ({key: how.get(key) for key in _HOW} for how in (recorded, now))
    end = dict(zip(_END, read_progress(state), strict=True))
    if parts and {key: parts[-1][key] for key in _END} == end:  # the recorded part ended before its first step
        return parts[:-1] if {key: parts[-1][key] for key in _HOW} == here else parts
    return parts if before == here else [*parts, end | before]


def _is_part(part: object) -> bool:
    if not (isinstance(part, Mapping) and {*_END, *_HOW} <= {*part}):
        return False
    kinds = {"machine": str, "threads": int | None, "versions": Mapping}
    return all(isinstance(part[key], kind) for key, kind in kinds.items())


def parts_in_words(parts: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> str:
    """Describe how earlier parts of a run were computed.

    Args:
        parts: the value of `EARLIER_PARTS`.
        versions: those of the part that begins.

    Returns:
        For each part, machine, threads, and versions that differ: `AMD EPYC, 1 thread, torch 2.13.0`.
    """
    found = []
    for part in parts:
        threads = [counted(part["threads"], "thread")] if part["threads"] else []
        others = [f"{name} {number}" for name, number in part["versions"].items() if versions.get(name) != number]
        found.append(", ".join([part["machine"], *threads, *others]))
    return "; ".join(dict.fromkeys(found))
