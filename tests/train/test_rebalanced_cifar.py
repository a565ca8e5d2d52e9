"""The kept checkpoint of CE on CIFAR-100-LT, re-balanced afterwards on the real images."""

import os
from pathlib import Path

import pytest
import torch

from ltzoo.data import all_groups
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.data.memory import load_test, load_train
from ltzoo.evaluate import Predictions, adjust_logits, features_of, measure
from ltzoo.models import NearestMeanClassifier
from ltzoo.models.computed_heads import fit_nearest_mean_, tau_normalize_
from ltzoo.registry import create_model, get_recipe

DATA = os.environ.get("LTZOO_DATA")
RECIPE = get_recipe("resnet32_cifar100lt_ce_sgd")
pytestmark = pytest.mark.skipif(DATA is None, reason="LTZOO_DATA names no folder with CIFAR")


@pytest.fixture(scope="module")
def model():
    return create_model(RECIPE.name, pretrained=True).eval().to(memory_format=torch.channels_last)


def features(model, images):
    return features_of(
        model, make_eval_batches(images, RECIPE.data.data_set, Delivery(torch.device("cpu"), channels_last=True))
    )


@pytest.fixture(scope="module")
def measured(model):
    return features(model, load_test(RECIPE.data, Path(DATA)))


def figures(logits, labels):
    found = measure(
        Predictions(logits.float(), labels), RECIPE.data.class_counts, all_groups(RECIPE.data, first="mislas"), "last"
    )
    return [round(value, 1) for value in found.headline.values()]


def test_re_balancing_afterwards_gives_the_figures_in_the_documents(model, measured):
    x, labels = measured
    with torch.no_grad():
        logits = model.fc(x)
        assert figures(logits, labels) == [38.5, 65.3, 35.7, 8.6]
        assert figures(adjust_logits(logits, RECIPE.data.class_counts, 1.0), labels) == [42.5, 62.0, 40.0, 21.3]
        fc = torch.nn.Linear(64, 100)
        fc.load_state_dict(model.fc.state_dict())
        tau_normalize_(fc, 1.0)
        assert figures(fc(x), labels) == [42.0, 58.7, 38.9, 25.0]


@pytest.mark.slow
def test_the_nearest_class_mean_too(model, measured):
    head = NearestMeanClassifier(64, 100)
    images, _ = load_train(RECIPE.data, "cao", Path(DATA))
    fit_nearest_mean_(head, *features(model, images))
    x, labels = measured
    with torch.no_grad():
        assert figures(head(x), labels) == [41.8, 58.1, 42.1, 21.3]
