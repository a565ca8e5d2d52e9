"""Losses that need more than logits, have parameters, or keep state from step to step."""

from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses import Loss, LossModule, Outputs
from ltzoo.sharpness import MixedTargets
from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, step

every_method = pytest.mark.parametrize("name", ["sgd", "sam", "ssesam stage 1", "by class"])


@dataclass(frozen=True)
class Queued(Loss):
    """Asks for features and keeps a queue of them."""

    name = "queued"
    asks = frozenset({"features"})

    def bind(self, class_counts, num_features=None):
        return QueuedModule(self, num_features)


class QueuedModule(LossModule):
    """Cross-entropy, plus a penalty of projected features that are near to those of earlier batches."""

    def __init__(self, loss, num_features):
        super().__init__(loss)
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(3, num_features, dtype=torch.float64, generator=generator)
        self.projection = nn.Parameter(weight / 8)
        self.register_buffer("queue", torch.zeros(20, num_features, dtype=torch.float64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.committed = []

    def forward(self, outputs, targets):
        near = (outputs.features @ self.projection.T) @ (self.queue @ self.projection.T).T
        return F.cross_entropy(outputs.logits, targets, reduction="none") + near.mean(dim=1).square()

    def commit(self, outputs, targets):
        assert not outputs.features.requires_grad
        self.committed.append((outputs, targets))
        self.queue = torch.cat([outputs.features.to(self.queue), self.queue])[:20]
        self.filled += len(targets)


@pytest.fixture
def criterion():
    return Queued().bind(COUNTS, num_features=64)


def forward_of(model):
    def forward(images):
        features = model[:4](images)
        return Outputs(model[4](features), features=features)

    return forward


@every_method
def test_the_state_is_filled_once_per_step_and_as_without_perturbation(network, batches, criterion, name):
    """The queue after a step is the same for all methods: no perturbed pass enters it."""
    model, features = network(), []
    model[3].register_forward_hook(lambda module, inputs, output: features.append(output.detach()))
    for images, targets in batches[:2]:
        features.clear()
        before = criterion.queue
        step(model, criterion, images, targets, METHODS[name].table(COUNTS), forward=forward_of(model))
        assert torch.equal(criterion.queue, torch.cat([features[0], before])[:20])
    assert criterion.filled == 24
    assert len(criterion.committed) == 2


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_each_micro_batch_is_committed_once_after_all_passes(network, batches, criterion, micro_batches):
    model, order = network(), []
    criterion.register_forward_hook(lambda *_: order.append("loss"))
    criterion.commit = lambda outputs, targets: order.append(targets.tolist())
    options = {"forward": forward_of(model), "micro_batches": micro_batches}
    step(model, criterion, *batches[0], METHODS["sam"].table(COUNTS), **options)
    pieces = [piece.tolist() for piece in batches[0][1].chunk(micro_batches)]
    assert order == ["loss"] * 2 * micro_batches + pieces


@pytest.mark.parametrize(("name", "parts"), [("pgd", 1), ("lpfsgd", 3)])
def test_with_noise_each_part_is_committed_once(network, batches, criterion, name, parts):
    model = network()
    step(model, criterion, *batches[0], NOISE[name].table(COUNTS), forward=forward_of(model), batchnorm="all")
    assert [targets.tolist() for _, targets in criterion.committed] == [
        part.tolist() for part in batches[0][1].chunk(parts)
    ]


def test_parameters_of_the_loss_are_perturbed_differentiated_and_restored(network, batches, criterion):
    """As when they are the model's own."""
    criterion.queue = torch.randn(20, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    criterion.commit = lambda *_: None
    before = criterion.projection.detach().clone()
    model = network()
    step(model, criterion, *batches[0], METHODS["sam"].table(COUNTS), forward=forward_of(model))
    assert torch.equal(criterion.projection, before)

    joined = nn.ModuleDict({"network": network(), "criterion": criterion})
    found = [parameter.grad for parameter in (*model.parameters(), criterion.projection)]
    criterion.projection.grad = None
    step(
        joined,
        lambda o, y: criterion(o, y),
        *batches[0],
        METHODS["sam"].table(COUNTS),
        forward=forward_of(joined["network"]),
    )
    for a, b in zip(joined.parameters(), found, strict=True):
        assert torch.equal(a.grad, b)
    assert criterion.projection.grad.abs().max() > 1e-6


def test_a_parameter_that_the_loss_shares_with_the_model_counts_once(network, batches):
    def gradient(shared):
        model = network()
        criterion = nn.Module()
        criterion.forward = lambda logits, targets: CE(logits, targets)
        if shared:
            criterion.classifier = model[4]
        step(model, criterion, *batches[0], METHODS["sam"].table(COUNTS))
        return [parameter.grad for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(gradient(False), gradient(True), strict=True))


@pytest.mark.parametrize("bad_pass", [0, 1])
def test_an_overflow_undoes_the_state(network, batches, criterion, bad_pass):
    model, criterion, images = network().float(), criterion.float(), batches[0][0].float()
    scaler, factors = torch.amp.GradScaler("cpu", init_scale=1024.0), []

    def forward(images):
        outputs = forward_of(model)(images)
        factors.append(float("inf") if len(factors) == 2 + bad_pass else 1.0)
        return Outputs(outputs.logits * factors[-1], features=outputs.features * factors[-1])

    table = METHODS["sam"].table(COUNTS)
    step(model, criterion, images, batches[0][1], table, forward=forward, scaler=scaler)
    before = [buffer.clone() for buffer in criterion.buffers()]
    step(model, criterion, images, batches[0][1], table, forward=forward, scaler=scaler)
    assert all(torch.equal(a, b) for a, b in zip(before, criterion.buffers(), strict=True))
    step(model, criterion, images, batches[0][1], table, forward=forward, scaler=scaler)
    assert criterion.filled == 24


@every_method
@pytest.mark.parametrize("mixed", [False, True])
def test_outputs_with_logits_serve_a_loss_of_logits(network, batches, name, mixed):
    """Bit for bit, whether the loss says that it asks for nothing more or takes the logits itself."""

    class OfLogits(LossModule):
        def forward(self, outputs, targets):
            return CE(outputs, targets)

    images, targets = batches[0]
    weights = torch.full((12, 2), 0.5) if mixed else None
    targets = torch.stack([targets, targets.flip(0)], dim=1) if mixed else targets

    def gradient(criterion, wrapped):
        model = network()
        table, forward = METHODS[name].table(COUNTS), forward_of(model) if wrapped else None
        step(model, criterion, images, targets, table, target_weights=weights, forward=forward)
        return [parameter.grad for parameter in model.parameters()]

    expected = gradient(CE, False)
    for criterion in (OfLogits(), lambda outputs, labels: CE(outputs.logits, labels)):
        assert all(torch.equal(a, b) for a, b in zip(expected, gradient(criterion, True), strict=True))


def test_mixed_targets_are_committed_with_their_weights(network, batches, criterion):
    images, targets = batches[0]
    model, both = network(), torch.stack([targets, targets.flip(0)], dim=1)
    step(
        model,
        criterion,
        images,
        both,
        METHODS["sam"].table(COUNTS),
        target_weights=torch.full((12, 2), 0.5),
        forward=forward_of(model),
    )
    ((outputs, found),) = criterion.committed
    assert isinstance(found, MixedTargets)
    assert torch.equal(found.classes, both)
    assert outputs.logits.shape == (12, 4)


def test_outputs_in_half_precision_reach_the_loss_as_float32(network, batches):
    model, seen = network().float(), []

    def criterion(outputs, targets):
        seen.append((outputs.logits.dtype, outputs.features.dtype))
        return CE(outputs.logits, targets)

    with torch.autocast("cpu", torch.bfloat16):
        images = batches[0][0].float()
        step(model, criterion, images, batches[0][1], METHODS["sam"].table(COUNTS), forward=forward_of(model))
    assert seen == [(torch.float32, torch.float32)] * 2


@dataclass
class Plain:
    logits: Tensor
    given: dict = field(default_factory=dict)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: x, "the loss asks for features, which the forward pass did not return"),
        (Outputs, "the loss asks for features, which the forward pass did not return"),
        (partial(Outputs, features=torch.zeros(12, 1)), None),
        (lambda x: Outputs(x[:, :3], features=x), "the model has 3 classes, the table 4"),
        (lambda x: Outputs(x.detach(), features=x), "the logits do not depend on a trainable parameter"),
        (lambda x: Outputs(x.half(), features=x), "in float16 small gradients become 0"),
    ],
)
def test_outputs_are_checked_as_logits_are(network, batches, output, message):
    model = network().float()
    criterion = QueuedModule(Queued(), 1)
    criterion.forward = lambda outputs, targets: CE(outputs.logits, targets)
    arguments = batches[0][0].float(), batches[0][1], METHODS["sam"].table(COUNTS)
    run = partial(step, model, criterion, *arguments, forward=lambda images: output(model(images)))
    if message is None:
        assert run().isfinite()
    else:
        with pytest.raises(ValueError, match=message):
            run()


def test_an_object_with_logits_must_convert_itself(network, batches):
    model = network()
    with pytest.raises(ValueError, match=r"Plain has logits and no float\(\)"):
        step(model, CE, *batches[0], METHODS["sam"].table(COUNTS), forward=lambda images: Plain(model(images)))


def test_a_loss_that_compares_images_refuses_micro_batches(network, batches):
    class Compares(Queued):
        ties_images = True

    arguments = network(), QueuedModule(Compares(), 64), *batches[0], METHODS["sam"].table(COUNTS)
    with pytest.raises(ValueError, match="compares the images of a batch, so 2 micro-batches would change it"):
        step(*arguments, micro_batches=2)


def test_a_batchnorm_of_the_loss_sees_the_pass_at_w_alone(network, batches):
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4).double()

        def forward(self, logits, targets):
            return CE(self.norm(logits), targets)

    for batchnorm, count in (("clean", 1), ("all", 2)):
        criterion = Normalised()
        step(network(), criterion, *batches[0], METHODS["sam"].table(COUNTS), batchnorm=batchnorm)
        assert criterion.norm.num_batches_tracked == count
