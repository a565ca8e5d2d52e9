"""Perturbations from outside the package."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from ltzoo.sharpness import PERTURBATIONS, SAM, Perturbation, Row, Table, register_perturbation


@pytest.fixture
def unregister():
    yield
    PERTURBATIONS.pop("half")


def make(word):
    @dataclass(frozen=True)
    class Half(Perturbation):
        rho: float
        name: ClassVar[str] = word

        def table(self, class_counts, epoch=None, epochs=None):
            first = (torch.arange(len(class_counts)) < len(class_counts) // 2).float()
            return Table([Row(None, first, 0.0), Row(1 - first, 1 - first, self.rho)])

        def radii(self, epoch=None, epochs=None):
            return {"rho": self.rho}

    return Half


def test_a_custom_perturbation_is_registered(unregister):
    kind = register_perturbation(make("half"))
    assert PERTURBATIONS["half"] is kind
    assert kind(rho=0.2).table([5, 4, 3, 2]).radii == (0.0, 0.2)


@pytest.mark.parametrize("word", ["sam", "Half", "half_2", "half05", ""])
def test_names_that_are_taken_or_not_a_word_are_refused(word):
    with pytest.raises(ValueError, match="exists already" if word == "sam" else "lower-case letters"):
        register_perturbation(make(word))


def test_other_objects_are_refused():
    class Plain(SAM):
        name = "plain"

    @dataclass(frozen=True)
    class Tableless(Perturbation):
        name: ClassVar[str] = "tableless"

    for kind in (int, SAM(rho=0.1), Plain, Tableless):
        with pytest.raises(ValueError, match="frozen dataclass that extends Perturbation"):
            register_perturbation(kind)
