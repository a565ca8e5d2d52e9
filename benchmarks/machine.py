"""The machine that a benchmark runs on: device, CPU threads, one-line description, and peak memory of a function."""

import gc
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ltzoo.errors import InputError
from ltzoo.train.device import cores, device_name

DEVICES = ("cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """Select the requested device, also for Accelerate, which would otherwise use CUDA wherever it is available.

    Args:
        name: one of `DEVICES`.

    Raises:
        InputError: the device is not available.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device here; use --device cpu")
    os.environ["ACCELERATE_USE_CPU"] = "1" if name == "cpu" else "0"
    return torch.device(name)


def choose_threads(threads: int | None) -> None:
    """Set the number of CPU threads; None means one per core."""
    torch.set_num_threads(threads or cores())


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_machine(device: torch.device) -> str:
    """Describe device, cores, threads and the torch version in one line."""
    threads = f"{cores()} CPU cores, {torch.get_num_threads()} threads"
    return f"{device_name(device)}, {threads}, torch {torch.__version__}"


def peak_bytes(device: torch.device, work: Callable[[], object]) -> int:
    """Measure the peak memory of live tensors, in bytes, while `work` runs.

    On CUDA, everything allocated by the caching allocator counts, so nothing else should be on the device. On the CPU,
    tensors allocated by torch since `work` began count, according to the profiler; memory that oneDNN allocates itself,
    the Python heap and other processes do not.

    Args:
        device: device of the tensors.
        work: allocates what it needs and runs; it need not keep it.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    return _peak_of([event for event in events if event.get("name") == "[memory]"])


def _peak_of(events: list[dict]) -> int:
    """Sum allocations in order of time; tensors allocated before the recording began are not counted."""
    live: dict[int, int] = {}
    now = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        address, size = event["args"]["Addr"], event["args"]["Bytes"]
        if size > 0:
            live[address] = size
            now += size
        else:
            now -= live.pop(address, 0)
        peak = max(peak, now)
    return peak
