"""Fixtures for all rooms: one thread, a fresh Accelerate, one short run of the digits."""

import os
import signal
from pathlib import Path

from tests.checkpoints.hub_session import ENVIRONMENT

# First of all: the Hub's client reads its environment at its import.
os.environ |= ENVIRONMENT

import pytest
import torch
from accelerate.state import AcceleratorState

from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, train

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore SIGINT; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_process_state():
    """Threads and Accelerate's state belong to the process; a test must not see the one before it."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run: CE with SGD on the digits, two epochs. Tests read it and leave it as it is."""
    AcceleratorState._reset_state(reset_partial_state=True)
    output = tmp_path_factory.mktemp("output")
    return train(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2), TrainOptions(Path("data"), output))
