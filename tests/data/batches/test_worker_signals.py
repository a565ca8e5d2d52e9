"""Decoding workers outlive the signals of others, and end when their parent ends them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ltzoo.data.batches.worker_signals import DataLoader


class Slow(torch.utils.data.Dataset):
    """The process that loads an item."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int:
        time.sleep(0.02)
        return os.getpid()


def send_from_another_process(number: int, *processes: int) -> None:
    words = [sys.executable, "-c", f"import os; [os.kill(pid, {int(number)}) for pid in {processes}]"]
    subprocess.run(words, check=True)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo")
def test_signals_of_others_end_no_worker():
    batches = iter(DataLoader(Slow(), num_workers=2))
    workers = {int(next(batches)) for _ in range(2)}
    for number in (signal.SIGTERM, signal.SIGINT):
        send_from_another_process(number, *workers)
    assert {int(pid) for pid in batches} == workers  # all 38 others


def test_the_parent_ends_them_at_once():
    loader = DataLoader(Slow(), num_workers=1, persistent_workers=True)
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0  # as torch ends its own


def test_a_process_that_leaves_its_workers_behind_ends():
    code = "from tests.data.batches.test_worker_signals import *\nkept = iter(DataLoader(Slow(), num_workers=1))\n"
    code += "next(kept); kept.itself = kept; os.write(1, b'ends')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ends"), done.stderr


def test_signals_are_received_again_once_the_workers_have_started():
    DataLoader(Slow(), num_workers=1).__iter__()
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
