"""Resuming on another machine: what a run chose itself is kept, what must be given again is named by its flag."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ltzoo.errors import InputError
from ltzoo.train.device import cores
from ltzoo.train.options import TrainOptions


def kept_choice(
    options: TrainOptions, recorded: Mapping[str, Any], folder: Path, device: torch.device, processes: int
) -> TrainOptions:
    """Fill in threads and memory format of the run that is resumed, where the user gives none.

    Both decide how sums are rounded, and both are chosen for the machine: the user of another one has chosen nothing.

    Args:
        options: of the resuming command.
        recorded: how the existing run computes, see `RunFolder.recorded`; empty if there is none.
        folder: the run folder.
        device: where the run computes now.
        processes: how many train it now.

    Raises:
        InputError: the run used more threads than there are cores for it here.
    """
    if recorded.get("device") != device.type or recorded.get("processes") != processes:
        return options  # another run, which is refused
    threads, channels_last = recorded.get("threads"), recorded.get("channels_last")
    if options.threads is None and type(threads) is int and threads > 1:
        here = max(1, cores() // processes)
        if threads > here:
            raise InputError(
                f"the run in {folder} used {threads} threads{' per process' if processes > 1 else ''}, but there "
                f"{'is 1 core' if here == 1 else f'are {here} cores'} for it here, and another number of "
                f"threads rounds sums differently; add --threads {threads} to continue more slowly, --threads {here} "
                "to continue with other rounding, or name another --output"
            )
    if options.threads is None and type(threads) is int and threads > 0:
        options = replace(options, threads=threads)
    if options.channels_last is None and isinstance(channels_last, bool):
        options = replace(options, channels_last=channels_last)
    return options


def changes(there: Mapping[str, Any], document: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Name each differing setting once, with the value of the existing run and the requested one.

    Args:
        there: the existing run's `recipe.yaml`, with all fields.
        document: that of the requested run.
        keys: the settings that differ: `batch_size`, `run.device`, `overrides.optimizer.lr`.
    """
    found = list[str]()
    for key in keys:
        part, _, name = key.partition(".")
        if part == "overrides" and name.partition(".")[0] in keys:
            continue  # the field itself is named
        if part in ("overrides", "run"):
            old, new = there[part].get(name), document[part].get(name)
            if part == "overrides" and name.partition(".")[0] not in document:
                # No field of a recipe, such as `hold_out`: of [registered, used], what is used differs.
                key, old, new = name, _used(old), _used(new)
        else:
            old, new = there.get(key), document.get(key)
        found += _leaves(key, old, new)
    return ", ".join(found)


def _leaves(key: str, old: Any, new: Any) -> list[str]:
    """Write the values within a part that differ; a part of another name is another part, and written as one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.get("name") == new.get("name"):
        pairs = [(name, old.get(name), new.get(name)) for name in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(number), *both) for number, both in enumerate(zip(old, new, strict=True))]
    else:
        return [f"{key}: {_short(old)} -> {_short(new)}"]
    return [line for name, one, other in pairs if one != other for line in _leaves(f"{key}.{name}", one, other)]


def _used(override: Any) -> Any:
    return override[1] if isinstance(override, list) and len(override) == 2 else override


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def flags(there: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Name the flags by which a command would have the settings of an existing run, in parentheses; empty if none has.

    Args:
        there: the run's `recipe.yaml`.
        keys: the settings that differ: `batch_size`, `run.device`.
    """
    run = there.get("run")
    recorded = {f"run.{key}": value for key, value in run.items()} if isinstance(run, Mapping) else {}
    found = [_flag(key, (recorded | dict(there)).get(key)) for key in keys]
    return f" ({', '.join(filter(None, found))})" if any(found) else ""


def _flag(key: str, value: Any) -> str:
    switches = {
        "run.channels_last": ("--channels-last", "--no-channels-last"),
        "run.capture": ("no --eager", "--eager"),
        "run.sync_bn": ("--sync-bn", "no --sync-bn"),
    }
    if key in switches:
        return switches[key][0 if value else 1]
    if key == "run.torchcompile":
        return f"--torchcompile {value}" if value else "no --torchcompile"
    if key == "run.processes":
        return f"{value} process{'es' if value != 1 else ''}"
    if key == "run.device":
        return f"the device {value}"
    flag = {"run.val_interval": "--val-interval ", "batch_size": "--batch-size "}.get(key)
    flag = "--set precision=" if key == "precision" else flag
    return f"{flag}{shlex.quote(str(value))}" if flag and value is not None else ""
