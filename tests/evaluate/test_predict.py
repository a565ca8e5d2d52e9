"""Predictions: the mode of the model, flip averaging, and a benchmark's model measured whole."""

import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import functional

from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, all_groups
from ltzoo.data.batches import EvalBatches
from ltzoo.data.memory import LabelledImages, load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import EvalOptions, Predictions, evaluate_model, measure, predict, predict_classes, predict_test
from tests.data.pictures import Made
from tests.evaluate.conftest import DIGITS

CPU = EvalOptions(torch.device("cpu"))
FLIPPED = EvalOptions(torch.device("cpu"), flip=True)
BATCHES = [(torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)), torch.arange(n)) for n in (3, 2)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 5))


def test_logits_are_the_models_in_evaluation_mode_and_in_order(model):
    statistics = model[1].running_mean.clone()
    predictions = predict(model, BATCHES)
    assert torch.equal(model[1].running_mean, statistics)
    expected = torch.cat([model.eval()(images) for images, _ in BATCHES])
    assert torch.equal(predictions.logits, expected)
    assert predictions.labels.tolist() == [0, 1, 2, 0, 1]
    assert not predictions.logits.requires_grad


def test_without_images_there_is_nothing_to_predict(model):
    with pytest.raises(InputError, match="there are no images to predict; pass at least one batch"):
        predict(model, [])


def test_flip_averages_the_logits_of_image_and_mirror_image(model):
    found = predict(model, BATCHES, flip=True).logits
    model.eval()
    expected = [(model(images) + model(torch.flip(images, dims=[3]))) / 2 for images, _ in BATCHES]
    torch.testing.assert_close(found, torch.cat(expected))
    assert not torch.allclose(found, predict(model, BATCHES).logits)


def test_the_predicted_classes_alone_are_those_of_the_logits(model):
    predictions = predict(model, BATCHES)
    predicted, labels = predict_classes(model, BATCHES)
    assert torch.equal(predicted, predictions.predicted)
    assert torch.equal(labels, predictions.labels)
    flat = lambda images: model(images) * 0  # noqa: E731
    assert predict_classes(model, BATCHES, forward=flat)[0].tolist() == [0] * 5  # of equal logits the first


def test_of_no_images_no_class_is_predicted(model):
    for found in predict_classes(model, []):
        assert found.shape == (0,)
        assert found.dtype == torch.int64
    assert model.training


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("collect", [predict, predict_classes])
def test_each_modules_mode_comes_back(model, training, collect):
    model.train(training)
    model[1].eval()  # a frozen BatchNorm
    collect(model, BATCHES)
    assert [module.training for module in model] == [training, False, training, training, training]
    assert model.training is training


@pytest.mark.parametrize("collect", [predict, predict_classes])
def test_the_mode_comes_back_when_the_forward_pass_fails(model, collect):
    def fail(images):
        raise RuntimeError("out of memory")

    model.train()
    with pytest.raises(RuntimeError, match="out of memory"):
        collect(model, BATCHES, forward=fail)
    assert model.training


def test_another_forward_is_taken_and_logits_are_float32(model):
    predictions = predict(model, BATCHES, forward=lambda images: model(images).bfloat16() * 0 + 3)
    assert predictions.logits.dtype == torch.float32
    assert (predictions.logits == 3).all()


def test_of_equal_logits_the_first_is_predicted():
    logits = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [0.0, 0.0, 1.0]])
    predicted = Predictions(logits, torch.arange(3)).predicted
    assert predicted.tolist() == [1, 0, 2]
    assert predicted.dtype == torch.int64


class Brightness(nn.Module):
    """Ten logits of an image; the first is right for bright images alone."""

    num_classes = 10

    def __init__(self, left_half=False):
        super().__init__()
        self.columns = 8 if left_half else 16

    def forward(self, images):
        light = images[..., : self.columns].mean(dim=(1, 2, 3))
        return torch.stack([light, *[torch.full_like(light, -0.1 * j) for j in range(1, 10)]], dim=1)


def bright_left_halves():
    """Twenty images of each class pair: class 0 bright on the left, class 1 dark."""
    images = torch.zeros(20, 16, 16, 1, dtype=torch.uint8)
    images[:10, :, :8] = 255
    return LabelledImages(images, torch.tensor([0] * 10 + list(range(10))))


def test_a_model_is_measured_by_every_grouping_the_protocols_own_first():
    figures = evaluate_model(Brightness(True), DIGITS, bright_left_halves(), "count", "last epoch", CPU)
    assert list(figures.groups) == ["count", "mislas", "thirds"]
    # Dark images are normalised to -0.96, bright ones to 2.17: the dark ones all go to class 1.
    assert figures.per_class == pytest.approx((1000 / 11, 100, *(0,) * 8))
    assert figures.overall == pytest.approx(100 * 11 / 20)
    assert figures.class_counts == DIGITS.class_counts
    assert figures.images == 20


def test_a_model_is_measured_by_its_predictions():
    predictions = predict_test(Brightness(True), DIGITS, bright_left_halves(), FLIPPED)
    assert predictions.logits.shape == (20, 10)
    figures = evaluate_model(Brightness(True), DIGITS, bright_left_halves(), "count", "x", FLIPPED)
    assert figures == measure(predictions, DIGITS.class_counts, all_groups(DIGITS, first="count"), "x")


def test_flip_reaches_the_model():
    def overall(flip):
        options = FLIPPED if flip else CPU
        # On average over image and mirror image the light is 0.6: still class 0. On the right alone it is not.
        return evaluate_model(Brightness(True), DIGITS, mirrored, "count", "x", options).overall

    bright = bright_left_halves()
    mirrored = LabelledImages(bright.images.flip(2), bright.labels)
    assert overall(False) == pytest.approx(5)
    assert overall(True) == pytest.approx(55)


class Colours(nn.Module):
    """Three logits of an image: the squares of its colours, which are other ones for a part of it than for all."""

    num_classes = 3

    def forward(self, images):
        return images.mean(dim=(2, 3)) ** 2


def test_the_logits_of_five_crops_are_averaged():
    made = Made(7, (90, 61))
    view = ModelInput(24, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 0.9, "bilinear")
    benchmark = NATURAL_BENCHMARKS["imagefolder"].with_counts((3, 2, 2), ("a", "b", "c"), view)
    options = EvalOptions(torch.device("cpu"), crops=True, logit_scale=3.0)
    found = predict_test(Colours(), benchmark, made, options)
    assert found.labels.tolist() == made.labels.tolist()
    cut = transforms.Compose([transforms.Resize(27), transforms.FiveCrop(24)])  # bilinear; 24 * 248 / 224
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (view.mean, view.std))
    for k, logits in enumerate(found.logits):
        crops = [(functional.pil_to_tensor(crop).double() / 255 - mean) / std for crop in cut(made.image(k))]
        each = Colours()(torch.stack(crops))
        torch.testing.assert_close(logits.double(), 3 * each.mean(dim=0), atol=1e-5, rtol=0)
        assert not torch.allclose(each[4], each.mean(dim=0), atol=1e-3)
    assert not torch.allclose(found.logits, predict_test(Colours(), benchmark, made, CPU).logits, atol=1e-3)


def test_crops_of_images_in_memory_are_refused():
    options = EvalOptions(torch.device("cpu"), crops=True)
    with pytest.raises(InputError, match="the images of digits have the size of the model's input; use no crops"):
        predict_test(Brightness(), DIGITS, bright_left_halves(), options)


def test_another_number_of_classes_is_refused():
    model = Brightness()
    model.num_classes = 100
    test = load_test(DIGITS, None)
    with pytest.raises(InputError, match="the model has 100 classes, digits has 10; use its own model"):
        evaluate_model(model, DIGITS, test, "mislas", "last epoch", CPU)


def test_the_batch_size_of_evaluation_changes_no_prediction(model):
    test = load_test(DIGITS, None)
    small = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 10))
    one = predict(small, EvalBatches(test, DIGITS.data_set, 400))
    many = predict(small, EvalBatches(test, DIGITS.data_set, 33))
    torch.testing.assert_close(one.logits, many.logits)
    assert torch.equal(one.labels, many.labels)
