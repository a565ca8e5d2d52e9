"""Two processes through torchrun, on CPUs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def launch_two(script: Path, *arguments: str, ends_well: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes, and check how it ends."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode == 0) == ends_well, done.stderr[-3000:]
    return done
