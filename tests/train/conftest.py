"""Runs without painted pictures."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ltzoo.evaluate import plots


@pytest.fixture(autouse=True)
def unpainted(finished_run, monkeypatch):
    """Compose each run's pictures and leave them unpainted: painting takes as long as an epoch.

    The finished run comes first, and its pictures are painted; tests/evaluate sees to how pictures look.
    """

    def save(figure: Figure, path: Path) -> None:
        assert figure.axes
        path.touch()

    monkeypatch.setattr(plots, "save_figure", save)
