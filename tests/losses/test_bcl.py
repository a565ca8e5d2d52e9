"""BCL against numpy: its loss, its gradients, where its prototypes come from."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ltzoo.losses import BCL
from ltzoo.sharpness import CCSAM, SAM, StepOptions, perturbed_backward
from tests.losses import plain
from tests.losses.contrastive import (
    SETTINGS,
    TARGETS,
    arrays,
    assert_close,
    assert_same_state,
    copies,
    forward_of,
    make_criterion,
    make_images,
    make_network,
    make_outputs,
)
from tests.losses.plain import COUNTS

WEIGHTS = torch.linspace(0.5, 2, 6, dtype=torch.float64)
LABELS = TARGETS.tolist()


def expected_losses(criterion, model, logits, features, **changes):
    given = {
        "layers": plain.layers_of(criterion.head),
        "prototype_layers": plain.layers_of(criterion.prototype_head),
        "classifier": model.classifier.weight.detach().numpy(),
    }
    numbers = {name: SETTINGS["bcl"][name] for name in ("temperature", "scale", "ce_weight", "contrast_weight")}
    return plain.bcl(logits, features, LABELS, **(given | changes), **numbers)


@pytest.fixture
def model():
    return make_network()


@pytest.fixture
def criterion(model):
    return make_criterion("bcl", model)


def test_values_are_the_formulas(criterion, model):
    outputs = make_outputs("bcl")
    assert_close(criterion(outputs, TARGETS), expected_losses(criterion, model, *arrays(outputs)))


def test_gradients_are_the_formulas(criterion, model):
    outputs = make_outputs("bcl")
    (criterion(outputs, TARGETS) * WEIGHTS).sum().backward()
    logits, features = arrays(outputs)

    def total(logits=logits, features=features, **changes):
        losses = expected_losses(criterion, model, logits, features, **changes)
        return sum(weight * loss for weight, loss in zip(WEIGHTS.tolist(), losses, strict=True))

    assert_close(outputs.logits.grad, plain.derivative(lambda x: total(logits=x), logits))
    assert_close(outputs.features.grad, plain.derivative(lambda x: total(features=x), features))
    rows = model.classifier.weight.detach().numpy()
    assert_close(model.classifier.weight.grad, plain.derivative(lambda x: total(classifier=x), rows))
    for key, head in (("layers", criterion.head), ("prototype_layers", criterion.prototype_head)):
        layers = plain.layers_of(head)
        for name, parameter in head.layers.named_parameters():
            expected = plain.derivative(
                lambda x, key=key, layers=layers, name=name: total(**{key: layers | {name: x}}), layers[name]
            )
            assert_close(parameter.grad, expected)


def test_no_tensor_has_as_many_numbers_as_classes_squared():
    """Class sizes need none; each of 12 anchors is compared with 12 projections and 600 prototypes."""

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            for value in found if isinstance(found, tuple | list) else [found]:
                self.numbers = max(self.numbers, value.numel() if isinstance(value, torch.Tensor) else 0)
            return found

    model = make_network()
    model.classifier = nn.Linear(5, 600).double()
    criterion = BCL(**SETTINGS["bcl"]).bind([9] * 600, 5).double()
    criterion.attach(model)
    outputs = make_outputs("bcl")
    outputs = replace(outputs, logits=torch.zeros(6, 3, 600, dtype=torch.float64))
    with Largest() as largest:
        criterion(outputs, TARGETS)
    assert 12 * 612 <= largest.numbers < 20 * 612


def test_the_order_of_a_batch_does_not_matter(criterion):
    outputs, order = make_outputs("bcl"), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = type(outputs)(outputs.logits[order], features=outputs.features[order])
    losses = criterion(outputs, TARGETS)
    assert_close(criterion(shuffled, TARGETS[order]), losses[order].detach().numpy())


def test_only_the_views_of_contrast_are_compared_and_only_view_0_is_classified(criterion):
    """View 0's features enter BatchNorm alone, the other views' logits nothing."""
    outputs = make_outputs("bcl")
    losses = criterion(outputs, TARGETS)
    (gradient,) = torch.autograd.grad(losses.sum(), outputs.logits)
    assert not gradient[:, 1:].any()
    assert bool(gradient[:, 0].all())


def test_prototypes_come_from_the_perturbed_classifier(criterion, model):
    seen = []
    criterion.prototype_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    before, state = model.classifier.weight.detach().clone(), copies(criterion)
    options = StepOptions(forward=forward_of("bcl", model))
    table = SAM(rho=0.5).table(torch.tensor(COUNTS))
    perturbed_backward(model, criterion, make_images("bcl"), TARGETS, table, options=options)
    assert torch.equal(seen[0], before)
    assert (seen[1] - before).abs().max() > 1e-3
    assert torch.equal(model.classifier.weight, before)
    assert_same_state(criterion, state)
    assert all(parameter.grad.abs().max() > 0 for parameter in criterion.prototype_head.parameters())


def test_prototypes_follow_a_classifier_that_moves_alone():
    """As in a step that repeats the whole forward pass: the logits of the second are not what the classifier gave."""
    found = []
    for factor in (None, 1.0):
        model = make_network()
        criterion = make_criterion("bcl", model)
        forward = forward_of("bcl", model)

        def of_product(images, forward=forward, factor=factor):
            outputs = forward(images)
            return outputs if factor is None else replace(outputs, logits=outputs.logits * factor)

        table = CCSAM(rho=0.5, q=0.7).table(torch.tensor(COUNTS))
        options = StepOptions(forward=of_product)
        perturbed_backward(model, criterion, make_images("bcl"), TARGETS, table, options=options)
        found.append(torch.cat([p.grad.flatten() for p in (*model.parameters(), *criterion.parameters())]))
    assert_close(*found)


def test_its_parameters_and_state_are_its_own(criterion, model):
    names = {name for name, _ in criterion.named_parameters()}
    assert {name.split(".")[0] for name in names} == {"head", "prototype_head"}
    assert {name.split(".")[0] for name in criterion.state_dict()} == {"adjusted", "head", "prototype_head"}
    other, outputs = make_criterion("bcl", model, hidden_size=7), make_outputs("bcl")
    nn.init.zeros_(other.head.layers[0].weight)
    other.load_state_dict(copies(criterion))
    assert torch.equal(other(outputs, TARGETS), criterion(outputs, TARGETS))


def test_without_a_classifier_it_says_so(model):
    criterion = make_criterion("bcl")
    with pytest.raises(ValueError, match=r"takes its prototypes from the classifier: call attach\(model\) before"):
        criterion(make_outputs("bcl"), TARGETS)
    with pytest.raises(ValueError, match=r"weight of shape \(4, 5\), and found none$"):
        criterion.attach(nn.Linear(5, 4))
    model.classifier = nn.Linear(6, 4)
    with pytest.raises(ValueError, match=r"weight of shape \(4, 5\), and found \(4, 6\)$"):
        criterion.attach(model)


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="temperature must be above 0"):
        BCL(**(SETTINGS["bcl"] | {"temperature": 0.0}))
