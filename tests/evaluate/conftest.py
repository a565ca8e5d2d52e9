"""Figures of a made-up test set, small enough to be computed by hand."""

import pytest
import torch

from ltzoo.data import DATASETS, Benchmark, Groups
from ltzoo.evaluate import Figures, Predictions, measure

COUNTS = (500, 100, 60, 20, 10, 5)
GROUPINGS = [
    Groups("own", {"head": (0, 1), "mid": (2, 3), "tail": (4, 5)}),
    Groups("lop-sided", {"head": (0,), "mid": (), "tail": (1, 2, 3, 4, 5)}),
    Groups("half", {"head": (0, 1, 2), "tail": (3, 4, 5)}),
]
DIGITS = Benchmark("digits", DATASETS["digits"], "exponential", 20, (130, 93, 66, 47, 34, 24, 17, 12, 9, 6))


@pytest.fixture
def predictions() -> Predictions:
    """Ten images. Right: 2 of 3 of class 0, 1 of 1, 1 of 2, 0 of 1, 1 of 2, 0 of 1; six-fold logits, 9 in the top 5."""
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4, 5])
    orders = [  # classes from the highest logit to the lowest
        [0, 1, 2, 3, 4, 5],
        [0, 5, 4, 3, 2, 1],
        [1, 0, 2, 3, 4, 5],
        [1, 2, 3, 4, 5, 0],
        [2, 0, 1, 3, 4, 5],
        [0, 1, 3, 4, 2, 5],  # label 2 is fifth
        [0, 1, 3, 2, 4, 5],
        [4, 0, 1, 2, 3, 5],
        [0, 4, 1, 2, 3, 5],
        [0, 1, 2, 3, 4, 5],  # label 5 is sixth
    ]
    logits = torch.zeros(10, 6)
    for row, order in enumerate(orders):
        logits[row, order] = torch.arange(6, 0, -1.0)
    return Predictions(logits, labels)


@pytest.fixture
def figures(predictions) -> Figures:
    """What `measure` makes of them."""
    return measure(predictions, COUNTS, GROUPINGS, "last epoch")
