"""The most memory that tensors take at once while something runs."""

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(device: torch.device, work: Callable[[], object]) -> int:
    """Measure the peak of the live tensors' bytes while `work` builds what it needs and runs it.

    On CUDA it is what the caching allocator had given out, all of it: nothing else may live on the device. On the CPU
    it is what torch's allocator had given out since `work` began, by the profiler's record of each allocation; scratch
    space that oneDNN allocates by itself, the Python heap and other processes are not in it.

    Args:
        device: where the tensors lie.
        work: builds and runs; what it built may be gone when it returns.
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
    """Add allocations up in the order of time; what was there before the recording began is not counted."""
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
