"""Runs without painted pictures, and runs that take turns."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import PartialState
from matplotlib.figure import Figure

from ltzoo.evaluate import plots
from ltzoo.train import side_by_side
from ltzoo.train.run_resources import RunResources


@pytest.fixture(autouse=True)
def unpainted(finished_run, monkeypatch):
    """Compose each run's pictures and leave them unpainted: painting takes as long as an epoch.

    The finished run comes first, and its pictures are painted; tests/evaluate sees to how pictures look.
    """

    def save(figure: Figure, path: Path) -> None:
        assert figure.axes
        path.touch()

    monkeypatch.setattr(plots, "save_figure", save)


@pytest.fixture
def turns(monkeypatch):
    """Let runs take turns on the CPU, as they do on a GPU."""
    state = PartialState()
    monkeypatch.setattr(side_by_side, "join_processes", lambda: SimpleNamespace(device=OnGPU(), num_processes=1))
    monkeypatch.setattr(side_by_side, "RunResources", lambda device: RunResources(state.device))


class OnGPU:
    """A device that is said to be a GPU."""

    type = "cuda"
