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
    keys = {*_END, *_HOW}
    if not (isinstance(parts, list) and all(isinstance(part, Mapping) and keys <= {*part} for part in parts)):
        raise InputError(
            f"{state.parent.parent} has a damaged run ({EARLIER_PARTS} in recipe.yaml must be a list of records with "
            f"{', '.join((*_END, *_HOW))}); remove it, or name another --output"
        )
    before, here = ({key: how.get(key) for key in _HOW} for how in (recorded, now))
    end = dict(zip(_END, read_progress(state), strict=True))
    if parts and {key: parts[-1][key] for key in _END} == end:  # the recorded part ended before its first step
        return parts[:-1] if {key: parts[-1][key] for key in _HOW} == here else parts
    return parts if before == here else [*parts, end | before]


def parts_in_words(parts: Sequence[Mapping[str, Any]]) -> str:
    """Describe where earlier parts of a run were computed, each as `AMD EPYC, 1 thread`."""
    found = [
        ", ".join([str(part["machine"]), *([counted(part["threads"], "thread")] if part["threads"] else [])])
        for part in parts
    ]
    return "; ".join(dict.fromkeys(found))
