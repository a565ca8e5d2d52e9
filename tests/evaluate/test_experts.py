"""The accuracy of each expert, against a loop over images and experts."""

from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import functional

from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, get_benchmark, make_groups
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.data.memory import load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import EvalOptions, measure_experts
from tests.data.pictures import Made

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


class ColourExperts(nn.Module):
    """Three experts that compare the colours of a left part of the image, each of another."""

    def get_classifier(self):
        return SimpleNamespace(experts=3)

    def forward_experts(self, images):
        return torch.stack([images[..., :width].mean(dim=(2, 3)) ** 2 for width in (6, 12, 18)], dim=1)


@pytest.mark.parametrize("flip", [False, True])
def test_with_crops_each_experts_logits_are_averaged_over_those_of_its_own(flip):
    made = Made(60, (90, 61))  # 300 crops: batches of crops end within an image
    view = ModelInput(24, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 0.9, "bilinear")
    benchmark = NATURAL_BENCHMARKS["imagefolder"].with_counts((30, 20, 10), ("a", "b", "c"), view)
    groups = make_groups("thirds", benchmark)
    model = ColourExperts()
    device = torch.device("cpu")
    found = measure_experts(model, benchmark, made, groups, EvalOptions(device, flip, crops=True))

    cut = transforms.Compose([transforms.Resize(27), transforms.FiveCrop(24)])  # bilinear; 24 * 248 / 224
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (view.mean, view.std))
    hits = [[0] * 3 for _ in range(3)]  # of each expert and class
    images = [0] * 3
    for k in range(60):
        label = int(made.labels[k])
        images[label] += 1
        crops = torch.stack([functional.pil_to_tensor(crop) for crop in cut(made.image(k))])
        crops = (crops / 255 - mean) / std
        with torch.no_grad():
            logits = model.forward_experts(crops).sum(dim=0)
            if flip:
                logits = logits + model.forward_experts(crops.flip(-1)).sum(dim=0)
        for e, row in enumerate(logits.tolist()):
            hits[e][label] += row.index(max(row)) == label
    for own, accuracy in zip(hits, found, strict=True):
        assert accuracy["overall"] == pytest.approx(100 * sum(own) / 60)
        shares = [100 * right / number for right, number in zip(own, images, strict=True)]
        for name, classes in groups.classes.items():
            assert accuracy[name] == pytest.approx(sum(shares[j] for j in classes) / len(classes))
    assert len({accuracy["overall"] for accuracy in found}) > 1
    assert found != measure_experts(model, benchmark, made, groups, EvalOptions(device, flip))


def test_crops_of_images_in_memory_are_refused(model, test_images):
    options = EvalOptions(torch.device("cpu"), crops=True)
    with pytest.raises(InputError, match="the images of digitslt have the size of the model's input; use no crops"):
        measure_experts(model, BENCHMARK, test_images, GROUPS, options)
