"""The accuracy of each expert, against a loop over images and experts."""

import pytest
import timm
import torch
from torch import nn

from ltzoo.data import get_benchmark, make_groups
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.data.memory import load_test
from ltzoo.evaluate import EvalOptions, measure_experts

BENCHMARK = get_benchmark("digitslt")
GROUPS = make_groups("mislas", BENCHMARK)


@pytest.fixture(scope="module")
def test_images(tmp_path_factory):
    return load_test(BENCHMARK, tmp_path_factory.mktemp("data"), False)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = timm.create_model("resnet20_3experts_cifar", num_classes=10, in_chans=1)
    # Few of an untrained network's predictions differ; these class vectors make the experts' do.
    nn.init.normal_(made.fc.weight)
    return made


@pytest.mark.parametrize("flip", [False, True])
def test_each_experts_accuracy_is_that_of_its_own_logits(flip, model, test_images):
    found = measure_experts(model, BENCHMARK, test_images, GROUPS, EvalOptions(torch.device("cpu"), flip))
    assert len(found) == 3
    batches = list(make_eval_batches(test_images, BENCHMARK.data_set, Delivery(torch.device("cpu"))))
    model.eval()
    for e, accuracy in enumerate(found):
        hits, images = [0] * 10, [0] * 10
        for batch, labels in batches:
            with torch.no_grad():
                logits = model.forward_experts(batch)[:, e]
                if flip:
                    logits = logits + model.forward_experts(batch.flip(-1))[:, e]
            for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
                images[label] += 1
                hits[label] += row.index(max(row)) == label
        assert accuracy["overall"] == pytest.approx(100 * sum(hits) / sum(images))
        for name, classes in GROUPS.classes.items():
            own = [100 * hits[j] / images[j] for j in classes]
            assert accuracy[name] == pytest.approx(sum(own) / len(own))
    assert len({accuracy["overall"] for accuracy in found}) > 1


def test_a_model_without_experts_has_none(test_images):
    model = timm.create_model("resnet20_cifar", num_classes=10, in_chans=1)
    assert measure_experts(model, BENCHMARK, test_images, GROUPS, EvalOptions(torch.device("cpu"))) == []
