"""ProCo against numpy and scipy: its logit, its loss, its gradients, its statistics."""

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad
from scipy.stats import vonmises_fisher

from ltzoo.losses import ProCo
from ltzoo.sharpness import SAM, NoPerturbation, StepOptions, perturbed_backward
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


def expected_losses(criterion, logits, features, layers=None):
    state = criterion.means.numpy(), criterion.counts.numpy()
    layers = plain.layers_of(criterion.head) if layers is None else layers
    numbers = (SETTINGS["proco"][name] for name in ("temperature", "scale", "weight"))
    return plain.proco(logits, features, LABELS, layers, *state, *numbers)


@pytest.fixture
def criterion():
    """After one batch, so that some classes have images and one has none."""
    criterion = make_criterion("proco")
    criterion.begin(0)
    criterion.commit(make_outputs("proco", seed=5).detach(), TARGETS)
    return criterion


def test_the_logit_is_the_log_of_an_expectation():
    """By integration over the sphere of three dimensions, with scipy's density."""
    criterion = make_criterion("proco", projection_size=3)
    mean = np.array([0.3, -0.5, 0.4])
    density = vonmises_fisher(plain.unit(mean), plain.concentration(mean))
    u = plain.unit(np.array([1.0, 2.0, -0.5]))

    def integrand(azimuth, height):
        ring = np.sqrt(1 - height**2)
        v = np.array([ring * np.cos(azimuth), ring * np.sin(azimuth), height])
        return density.pdf(v) * np.exp(u @ v / 0.2)

    expected, _ = dblquad(integrand, -1, 1, 0, 2 * np.pi, epsabs=1e-9, epsrel=1e-9)
    found = criterion.similarities(torch.tensor(u[None]), torch.tensor(mean[None]))
    assert found.item() == pytest.approx(np.log(expected), abs=1e-8)


@pytest.mark.parametrize("first", [True, False])
def test_values_are_the_formulas(criterion, first):
    criterion = make_criterion("proco") if first else criterion
    outputs = make_outputs("proco")
    assert_close(criterion(outputs, TARGETS), expected_losses(criterion, *arrays(outputs)))


def test_gradients_are_the_formulas(criterion):
    outputs = make_outputs("proco")
    (criterion(outputs, TARGETS) * WEIGHTS).sum().backward()
    logits, features = arrays(outputs)

    def total(losses):
        return sum(weight * loss for weight, loss in zip(WEIGHTS.tolist(), losses, strict=True))

    assert_close(
        outputs.logits.grad, plain.derivative(lambda x: total(expected_losses(criterion, x, features)), logits)
    )
    assert_close(
        outputs.features.grad, plain.derivative(lambda x: total(expected_losses(criterion, logits, x)), features)
    )
    layers = plain.layers_of(criterion.head)
    for name, parameter in criterion.head.layers.named_parameters():
        expected = plain.derivative(
            lambda x, name=name: total(expected_losses(criterion, logits, features, layers | {name: x})), layers[name]
        )
        assert_close(parameter.grad, expected)


def test_statistics_are_means_over_the_last_epoch_and_this_one():
    criterion = make_criterion("proco")
    means, counts = criterion.means.numpy().copy(), np.zeros(4, dtype=int)
    seen = {0: [], 1: [], 2: [], 3: []}
    for epoch in range(3):
        criterion.begin(epoch)
        # What is continued: the last epoch's vectors, or the old mean of a class without any.
        kept, seen = seen, {j: [] for j in range(4)}
        for batch in range(2):
            outputs = make_outputs("proco", seed=10 * epoch + batch)
            labels = [3, 1, 0, 1, 0, 1] if epoch == 1 else LABELS
            criterion.commit(outputs.detach(), torch.tensor(labels))
            u = plain.project_views(plain.layers_of(criterion.head), arrays(outputs)[1])
            for i, j in enumerate(labels):
                seen[j] += [u[i, 1], u[i, 2]]
        for j in range(4):
            both = kept[j] + seen[j]
            counts[j] = len(both)
            means[j] = np.mean(both, axis=0) if both else means[j]
        assert criterion.counts.tolist() == counts.tolist()
        assert_close(criterion.means, means)
    assert counts.tolist() == [20, 20, 4, 4]
    criterion.begin(3)
    # In the last epoch, class 3 had no image: its mean is older, and its next image replaces it.
    assert criterion.counts.tolist() == [12, 8, 4, 0]
    assert_close(criterion.means[3], means[3])


def test_a_pass_changes_nothing_and_commit_adds_what_the_pass_has_seen(criterion):
    outputs, before = make_outputs("proco"), copies(criterion)
    criterion(outputs, TARGETS)
    assert_same_state(criterion, before)
    means, counts = criterion.means.numpy(), criterion.counts.numpy()
    u = plain.project_views(plain.layers_of(criterion.head), arrays(outputs)[1])
    for view in (1, 2):
        means, counts = plain.add_to_means(means, counts, u[:, view], LABELS)
    criterion.commit(outputs.detach(), TARGETS)
    assert_close(criterion.means, means)
    assert criterion.counts.tolist() == counts.tolist()


def test_the_state_is_saved_and_restored_bit_for_bit(criterion):
    other, outputs = make_criterion("proco"), make_outputs("proco")
    other.load_state_dict(copies(criterion))
    assert torch.equal(other(outputs, TARGETS), criterion(outputs, TARGETS))
    for module in (criterion, other):
        module.commit(outputs.detach(), TARGETS)
        module.begin(1)
        module.commit(outputs.detach(), TARGETS)
    assert_same_state(other, copies(criterion))
    assert {name.split(".")[0] for name in other.state_dict()} == {
        *("adjusted", "head", "means", "counts", "epoch_means", "epoch_counts")
    }


def test_perturbed_passes_leave_the_state_alone():
    """After a step of SAM the state is that after a step without perturbation, and is changed once."""
    states, gradients = [], []
    for method in (NoPerturbation(), SAM(rho=0.5)):
        model, criterion = make_network(), make_criterion("proco")
        criterion.begin(0)
        weights = [parameter.detach().clone() for parameter in criterion.parameters()]
        options = StepOptions(forward=forward_of("proco", model))
        table = method.table(torch.tensor(COUNTS))
        perturbed_backward(model, criterion, make_images("proco"), TARGETS, table, options=options)
        assert all(torch.equal(a, b) for a, b in zip(weights, criterion.parameters(), strict=True))
        states.append(copies(criterion))
        gradients.append(criterion.head.layers[0].weight.grad)
    assert_same_state(criterion, states[0])
    assert criterion.counts.tolist() == [6, 4, 2, 0]
    assert (gradients[0] - gradients[1]).abs().max() > 1e-4


def test_a_mean_of_length_one_has_finite_losses_and_gradients():
    """A class's first image, in float32."""
    criterion, outputs = make_criterion("proco").float(), make_outputs("proco").detach()
    features = outputs.features.float().requires_grad_()
    outputs = type(outputs)(outputs.logits.float(), features=features)
    losses = criterion(outputs, torch.tensor([0, 1, 2, 3, 0, 1]))
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert bool(losses.isfinite().all() & features.grad.isfinite().all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"weight": -1.0}, "weight must be finite and not below 0, not -1"),
        ({"hidden_size": 0}, "hidden_size must be a whole number from 1 on, not 0"),
        ({"projection_size": 1}, "projection_size must be a whole number from 2 on, not 1"),
        ({"projection_size": 6.0}, "projection_size must be a whole number, not 6.0"),
    ],
)
def test_senseless_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ProCo(**(SETTINGS["proco"] | changes))
