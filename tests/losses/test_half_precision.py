"""Outputs in bfloat16: each loss is that of the rounded outputs in float64, so nothing else is rounded."""

import pytest
import torch

from ltzoo.losses import LOSSES, Outputs, create_loss
from tests.losses import contrastive
from tests.losses.oracle import COUNTS, TARGETS, random

FROM_LOGITS = {
    "ce": {},
    "ldam": {"max_margin": 0.5, "scale": 30.0},
    "logit_ldam": {"max_margin": 0.5, "scale": 30.0},
    "la": {"tau": 1.0},
    "bs": {},
    "vs": {"gamma": 0.15, "tau": 1.25},
    "focal": {"gamma": 2.0},
    "las": {"most": 0.4, "least": 0.1},
}
FROM_MORE = {
    "ride": {"max_margin": 0.5, "scale": 30.0, "diversity": 0.45, "spread": 0.05, "start": 0, "beta": 0.9999},
    "sade": {"tau": 2.0},
    "ib": {"start": 0, "factor": 1000.0, "epsilon": 0.001, "beta": 0.9999, "gamma": 1.0},
    "glmc": {"power": 1.2, "consistency": 4.0, "epochs": 2, "projection_size": 3},
    "drolt": {"radius": 1.0, "temperature": 1.0},
}
SHAPES = {"ride": (3, 4), "sade": (3, 4), "glmc": (2, 4)}


def assert_rounds_nothing(found, expected):
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FROM_LOGITS)
def test_of_logits(name):
    logits = random(len(TARGETS), 4, scale=5.0).bfloat16()
    loss, targets = create_loss(name, COUNTS, **FROM_LOGITS[name]), torch.tensor(TARGETS)
    assert_rounds_nothing(loss(logits, targets), loss(logits.double(), targets))


@pytest.mark.parametrize("name", FROM_MORE)
def test_of_more_than_logits(name):
    torch.manual_seed(0)
    loss, targets = create_loss(name, COUNTS, num_features=5, **FROM_MORE[name]), torch.tensor(TARGETS)
    if name == "drolt":
        loss.set_prototypes(random(4, 5, seed=2).detach(), torch.arange(4))
    if name == "glmc":
        loss.begin(1)
    logits = random(len(TARGETS), *SHAPES.get(name, (4,)), scale=5.0).bfloat16()
    features = random(len(TARGETS), *(2,) * (name == "glmc"), 5, seed=1).bfloat16()
    made = [Outputs(z, features=f, experts=z) for z, f in ((logits, features), (logits.double(), features.double()))]
    assert_rounds_nothing(loss(made[0], targets), loss.double()(made[1], targets))


@pytest.mark.parametrize("name", contrastive.SETTINGS)
def test_of_compared_images(name):
    exact, targets = contrastive.make_outputs(name), contrastive.TARGETS
    # Detached: where PaCo sees that the model computed in bfloat16, its copy of the model does, too.
    logits, features = exact.logits.detach().bfloat16(), exact.features.detach().bfloat16()
    images = None if exact.images is None else exact.images.float()
    found = contrastive.make_criterion(name, contrastive.make_network().float()).float()
    expected = contrastive.make_criterion(name, contrastive.make_network())
    rounded = Outputs(logits.double(), features=features.double(), images=exact.images)
    assert_rounds_nothing(found(Outputs(logits, features=features, images=images), targets), expected(rounded, targets))


def test_every_loss_is_tested():
    assert [*FROM_LOGITS, *FROM_MORE, *contrastive.SETTINGS] == list(LOSSES)
