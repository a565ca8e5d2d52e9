"""PaCo against numpy: its loss, its gradients, its queue, and the copy of the model that follows it."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from ltzoo.losses import Outputs, PaCo
from ltzoo.losses.momentum_copy import MomentumCopy
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


@pytest.fixture
def model():
    return make_network()


@pytest.fixture
def criterion(model):
    return make_criterion("paco", model)


def outputs_of(model, seed):
    return forward_of("paco", model)(make_images("paco", seed=seed))


def change(network, seed):
    """Move all weights, as an optimizer's step would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator), alpha=0.1)


def keys_of(model, criterion, images):
    """Projections of view 1 by the weights given, BatchNorm with the batch's statistics."""
    features = model.forward_head(model.forward_features(images[:, 1]), pre_logits=True)
    return plain.project(plain.layers_of(criterion.head), features.detach().numpy())


def expected_losses(criterion, keys, queue, queue_labels, logits, features, layers=None):
    layers = plain.layers_of(criterion.head) if layers is None else layers
    numbers = SETTINGS["paco"]["temperature"], SETTINGS["paco"]["alpha"]
    return plain.paco(logits[:, 0], features[:, 0], LABELS, layers, keys, queue, queue_labels, *numbers)


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_values_and_gradients_are_the_formulas(model, criterion, batches):
    """With an empty queue, one that is filled in part, and one that has been overwritten."""
    queue, queue_labels = np.zeros((0, 6)), []
    for seed in range(batches):
        images = make_images("paco", seed=seed)
        queue = np.concatenate([queue, keys_of(model, criterion, images)])[-9:]
        queue_labels = [*queue_labels, *LABELS][-9:]
        criterion.commit(outputs_of(model, seed).detach(), TARGETS)  # the weights stay, and so does their average
    outputs = make_outputs("paco")
    logits, features = arrays(outputs)
    keys = keys_of(model, criterion, outputs.images)
    found = criterion(outputs, TARGETS)
    assert_close(found, expected_losses(criterion, keys, queue, queue_labels, logits, features))

    (found * WEIGHTS).sum().backward()

    def total(logits=logits, features=features, layers=None):
        losses = expected_losses(criterion, keys, queue, queue_labels, logits, features, layers)
        return sum(weight * loss for weight, loss in zip(WEIGHTS.tolist(), losses, strict=True))

    assert_close(outputs.logits.grad, plain.derivative(lambda x: total(logits=x), logits))
    assert_close(outputs.features.grad, plain.derivative(lambda x: total(features=x), features))
    layers = plain.layers_of(criterion.head)
    for name, parameter in criterion.head.layers.named_parameters():
        expected = plain.derivative(lambda x, name=name: total(layers=layers | {name: x}), layers[name])
        assert_close(parameter.grad, expected)


def test_the_copy_and_the_queue_follow_once_per_step(model, criterion):
    """Weights are the moving average, keys are those of the average before the step, in the order of the batches."""
    average = make_network()
    average_head = make_criterion("paco")
    queue = []
    for seed in range(4):
        images = make_images("paco", seed=seed)
        queue += list(keys_of(average, average_head, images))
        criterion.commit(outputs_of(model, seed).detach(), TARGETS)
        for slow, network in ((average, model), (average_head.head, criterion.head)):
            for mine, other in zip(slow.parameters(), network.parameters(), strict=True):
                mine.data = 0.9 * mine.data + 0.1 * other.data
        change(model, seed)
        change(criterion.head, seed)
    assert criterion.position == 24 % 9
    for place in range(9):
        last = max(n for n in range(24) if n % 9 == place)
        assert_close(criterion.queue[place], queue[last])
        assert criterion.queue_labels[place] == LABELS[last % 6]
    for slow, copied in ((average, criterion.key_model), (average_head.head, criterion.key_head)):
        for name, parameter in slow.named_parameters():
            assert_close(copied.network.get_buffer(name), parameter.detach().numpy())


def test_the_order_of_a_batch_does_not_matter(criterion):
    outputs, order = make_outputs("paco"), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Outputs(outputs.logits[order], features=outputs.features[order], images=outputs.images[order])
    losses = criterion(outputs, TARGETS)
    assert_close(criterion(shuffled, TARGETS[order]), losses[order].detach().numpy())


def test_a_single_view_needs_no_dimension(criterion):
    outputs = make_outputs("paco")
    plainer = Outputs(outputs.logits[:, 0], features=outputs.features[:, 0], images=outputs.images)
    assert torch.equal(criterion(plainer, TARGETS), criterion(outputs, TARGETS))


def test_the_state_is_saved_and_restored_bit_for_bit(model, criterion):
    criterion.commit(outputs_of(model, 0).detach(), TARGETS)
    change(model, 0)
    criterion.commit(outputs_of(model, 1).detach(), TARGETS)
    other, outputs = make_criterion("paco", model), outputs_of(model, 2)
    other(outputs, TARGETS)  # with keys that the state's copy would not compute
    other.load_state_dict(copies(criterion))
    assert torch.equal(other(outputs, TARGETS), criterion(outputs, TARGETS))
    for module in (criterion, other):
        module.commit(outputs.detach(), TARGETS)
    assert_same_state(other, copies(criterion))
    assert {name.split(".")[0] for name, _ in criterion.named_parameters()} == {"head"}
    assert_same_state(pickle.loads(pickle.dumps(criterion)), copies(criterion))


def test_perturbed_passes_leave_the_state_alone_and_compute_no_key_anew():
    states = []
    for method in (NoPerturbation(), SAM(rho=0.5)):
        model = make_network()
        criterion, computed = make_criterion("paco", model), []
        criterion.key_head.register_forward_hook(lambda *_, computed=computed: computed.append(1))
        options = StepOptions(forward=forward_of("paco", model))
        table = method.table(torch.tensor(COUNTS))
        for seed in range(2):
            perturbed_backward(model, criterion, make_images("paco", seed), TARGETS, table, options=options)
        states.append(copies(criterion))
        assert computed == [1, 1]
    assert_same_state(criterion, states[0])
    assert criterion.position == 12 % 9


def test_keys_are_those_of_the_images_given(model, criterion):
    """Other images, also in the place in memory of earlier ones, have other keys."""
    outputs = outputs_of(model, 0)
    found = [criterion(outputs, TARGETS), criterion(outputs_of(model, 1), TARGETS), criterion(outputs, TARGETS)]
    assert torch.equal(found[0], found[2])
    turned = Outputs(outputs.logits, features=outputs.features, images=outputs.images.mT)
    assert not torch.equal(found[0], criterion(turned, TARGETS))
    with torch.no_grad():
        outputs.images.mul_(-1)
    other = criterion(outputs, TARGETS)
    assert not torch.equal(found[0], other)
    fresh = make_criterion("paco", model)
    assert torch.equal(other, fresh(outputs, TARGETS))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", [None, torch.bfloat16, torch.float16])
def test_keys_are_computed_in_the_precision_of_the_models_pass(precision, compiled):
    """Its own pass has autocast, as a trainer's has; the loss is called outside of it, with outputs in float32."""
    model = make_network().float()
    criterion = make_criterion("paco").float()
    criterion.attach(model)
    run = torch.compile(forward_of("paco", model), backend="aot_eager") if compiled else forward_of("paco", model)
    seen = []
    for part in (criterion.key_model.network.conv, criterion.key_head.network.layers[0]):
        part.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))

    def forward(images):
        with torch.autocast("cpu", precision, enabled=precision is not None):
            return run(images).float()

    scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if precision is torch.float16 else None
    options = StepOptions(forward=forward, scaler=scaler)
    table = SAM(rho=0.5).table(torch.tensor(COUNTS))
    perturbed_backward(model, criterion, make_images("paco").float(), TARGETS, table, options=options)
    assert seen == [precision or torch.float32, torch.float32]
    assert criterion.position == 6 and criterion.queue.dtype == torch.float32


def test_the_same_images_have_other_keys_in_the_next_step(model, criterion):
    outputs = outputs_of(model, 0)
    criterion(outputs, TARGETS)
    change(model, 0)
    criterion.commit(outputs.detach(), TARGETS)
    fresh = make_criterion("paco", model)
    fresh.load_state_dict(copies(criterion))
    assert torch.equal(criterion(outputs, TARGETS), fresh(outputs, TARGETS))


def test_a_skipped_step_of_the_scaler_changes_nothing():
    model = make_network().float()
    criterion = make_criterion("paco").float()
    criterion.attach(model)
    scaler, bad = torch.amp.GradScaler("cpu", init_scale=1024.0), []

    def forward(images):
        outputs = forward_of("paco", model)(images)
        return Outputs(outputs.logits * (float("inf") if bad else 1), features=outputs.features, images=outputs.images)

    options = StepOptions(forward=forward, scaler=scaler)
    table = SAM(rho=0.5).table(torch.tensor(COUNTS))
    for seed in range(3):
        change(model, seed)
        before = copies(criterion)
        bad[:] = [True] if seed == 1 else []
        perturbed_backward(model, criterion, make_images("paco", seed).float(), TARGETS, table, options=options)
        moved = [name for name, value in criterion.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (seed != 1)
    assert criterion.position == 12 % 9


def test_a_copy_has_no_parameters_and_no_running_statistics():
    tied = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)).double()
    tied[2].weight = tied[0].weight
    copied = MomentumCopy(tied, 0.75)
    assert not list(copied.parameters())
    assert not [name for name, _ in copied.named_buffers() if "running" in name or "tracked" in name]
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(copied(x), tied(x))
    assert not copied(x).requires_grad
    assert torch.equal(copied.eval()(x), copied.train()(x))
    before = tied[0].weight.detach().clone()
    with torch.no_grad():
        tied[0].weight.mul_(2)
    copied.follow(tied)
    for layer in (0, 2):
        torch.testing.assert_close(copied.network[layer].weight, 1.25 * before, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"momentum": 1.1}, "momentum must be at most 1, not 1.1"),
        ({"queue_size": 0}, "queue_size must be a whole number from 1 on, not 0"),
    ],
)
def test_senseless_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PaCo(**(SETTINGS["paco"] | changes))


def test_a_queue_smaller_than_a_batch_is_refused(model):
    with pytest.raises(ValueError, match="a queue of 5, which is less than the batch of 6: set queue_size to at least"):
        make_criterion("paco", model, queue_size=5)(make_outputs("paco"), TARGETS)
    with pytest.raises(ValueError, match=r"the loss paco needs batches of at least 2 images, not 1: .*drop_last=True"):
        make_criterion("paco", model)(make_outputs("paco", count=1), TARGETS[:1])


def test_without_a_model_or_images_it_says_so(criterion):
    outputs = make_outputs("paco")
    with pytest.raises(ValueError, match=r"compares with a copy of the model: call attach\(model\) before training"):
        make_criterion("paco")(outputs, TARGETS)
    with pytest.raises(ValueError, match="needs a model with forward_features and forward_head, as timm's; not Linear"):
        criterion.attach(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"needs Outputs.images \(6, 2, channels, H, W\), not none"):
        criterion(Outputs(outputs.logits, features=outputs.features), TARGETS)
    with pytest.raises(ValueError, match=r"needs Outputs.images \(6, 2, channels, H, W\), not \(6, 1, 1, 4, 4\)"):
        criterion(Outputs(outputs.logits, features=outputs.features, images=outputs.images[:, :1]), TARGETS)
