"""Standard output on a disk that is full: one line, exit code 2, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch import ROOT

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("both", [False, True])
def test_output_that_cannot_be_written(both):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ltzoo", "list"],
            stdout=full,
            stderr=full if both else subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=120,
        )
    assert done.returncode == 2
    if not both:
        assert done.stderr == (
            "ltzoo list: error: standard output, or a file of another program's, cannot be written: "
            "No space left on device\n"
        )
