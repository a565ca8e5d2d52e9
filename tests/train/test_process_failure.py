"""A process that fails takes the others with it at once, and its reason is printed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import PartialState

from ltzoo.errors import Interrupted
from ltzoo.train import process_failure
from ltzoo.train.process_failure import fail_together
from tests.launch import ROOT


def start_two(where: str, output: Path) -> list[subprocess.Popen[str]]:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)}
    script = str(Path(__file__).with_name("one_that_fails.py"))
    return [
        subprocess.Popen(
            [sys.executable, script, where, str(output)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("alone", "process 1 has failed: InputError: this device has no bfloat16; use float32"),
        ("agreed", "process 1 has failed: TypeError: a fault of ours"),
        ("training", "process 1 has failed: TypeError: a fault of ours"),
        ("signalled", "process 1 has failed: Interrupted: stopped by SIGTERM"),
    ],
)
def test_one_that_fails_takes_the_other_with_it(where, reason, tmp_path):
    first, second = start_two(where, tmp_path)
    try:
        assert second.stdout is not None
        assert second.stdout.readline() in ("code 2\n", "code 1\n", "code 143\n")  # it has failed, and stays
        began = time.monotonic()
        _, error = first.communicate(timeout=120)
        assert time.monotonic() - began < 60  # the process group would wait for six hours
    finally:
        for process in (first, second):
            process.kill()
    assert first.returncode == 2
    assert error.count(reason) == 1
    assert "Traceback" not in error
    assert reason.split("failed: ")[1].split(": ")[1] in second.communicate()[1]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error", [None, KeyError(), Interrupted(signal.SIGTERM), Interrupted(signal.SIGTERM, agreed=True)]
)
def test_no_thread_is_left_inside_the_store(error, monkeypatch):
    """Python aborts at its end if a thread is there."""
    asked = threading.Event()

    class SlowStore:
        def clone(self):
            return self

        def set(self, key, value):
            pass

        def check(self, keys):
            asked.set()
            time.sleep(0.5)
            return keys[0].endswith("/0")

    monkeypatch.setattr(process_failure, "_get_default_store", SlowStore)
    monkeypatch.setattr(process_failure, "_LOOK", 0.01)
    before = threading.active_count()
    state, raised = (
        SimpleNamespace(num_processes=2, process_index=1),
        pytest.raises(type(error)) if error else nullcontext(),
    )
    with raised, fail_together(state, lambda: None):
        asked.wait(5)
        if error:
            raise error
    assert threading.active_count() == before


def test_a_single_process_is_not_watched():
    with pytest.raises(KeyError), fail_together(PartialState(), lambda: None):
        raise KeyError
