"""Losses by name, and losses from outside the package."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from ltzoo.losses import CE, LOSSES, VS, AdjustedCrossEntropy, Loss, create_loss, register_loss

LOGITS, TARGETS = torch.tensor([[0.2, 0.1], [0.3, -0.4]]), torch.tensor([0, 1])
IB = {"start": 0, "factor": 1000.0, "epsilon": 0.001, "beta": 1.0, "gamma": 0.0}


def make(word):
    @dataclass(frozen=True)
    class Shifted(Loss):
        by: float
        how: str = "evenly"
        name: ClassVar[str] = word

        def bind(self, class_counts, num_features=None):
            assert num_features in (None, 64)
            return AdjustedCrossEntropy(offset=self.by * torch.arange(len(class_counts)))

    return Shifted


def test_a_loss_by_name_is_the_loss():
    found = create_loss("vs", [30, 4], gamma=0.05, tau=0.75)(LOGITS, TARGETS)
    assert torch.equal(found, VS(gamma=0.05, tau=0.75).bind([30, 4])(LOGITS, TARGETS))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("softmax", {}, "no loss is called 'softmax'; there are ce, ldam"),
        ("vs", {"tau": 1.0}, "the loss vs takes gamma, tau; tau given"),
        ("ce", {"tau": 1.0}, "the loss ce takes no setting; tau given"),
        ("la", {"tau": -1.0}, "tau must be finite and not below 0"),
        ("la", {"tau": True}, "tau must be finite and not below 0, not True"),
        ("la", {"tau": "1"}, "tau must be finite and not below 0, not '1'"),
        ("ib", IB | {"start": "x"}, "start must be a whole number, not 'x'"),
        ("ib", IB | {"start": 1.5}, "start must be a whole number, not 1.5"),
        ("ib", IB | {"start": True}, "start must be a whole number, not True"),
    ],
)
def test_bad_names_and_settings_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create_loss(name, [30, 4], **settings)


@pytest.fixture
def unregister():
    yield
    LOSSES.pop("shifted_ce")


def test_a_custom_loss_is_registered(unregister):
    register_loss(make("shifted_ce"))
    assert torch.equal(
        create_loss("shifted_ce", [3, 2], num_features=64, by=0.0, how="evenly")(LOGITS, TARGETS),
        CE().bind([3, 2])(LOGITS, TARGETS),
    )


@pytest.mark.parametrize("word", ["vs", "Shifted", "shifted-ce", ""])
def test_names_that_are_taken_or_not_words_are_refused(word):
    with pytest.raises(ValueError, match="exists already" if word == "vs" else "lower-case words"):
        register_loss(make(word))


def test_other_objects_are_refused():
    @dataclass(frozen=True)
    class Unbound(Loss):
        name: ClassVar[str] = "unbound"

    for kind in (torch.nn.CrossEntropyLoss, CE(), Unbound):
        with pytest.raises(ValueError, match="frozen dataclass that extends Loss"):
            register_loss(kind)
