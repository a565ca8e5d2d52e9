"""Mixed images (mixup, cutmix): several labels an image, each in the group of its own class."""

import pytest
import torch
import torch.nn.functional as F

from ltzoo.sharpness import ImbSAM
from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, step
from tests.sharpness.reference import PlainTrainer

TAIL = COUNTS < 10
EVERYONE = torch.ones_like(TAIL)
WEIGHTS = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)
weighted = pytest.mark.parametrize("class_weights", [None, WEIGHTS], ids=["plain", "weighted"])
every_method = pytest.mark.parametrize("name", [*METHODS, *NOISE])


class SoftTrainer(PlainTrainer):
    """The plain implementation with soft labels: a group's loss is over its columns of (B, C) label weights."""

    def group_loss(self, images, targets, chosen):
        losses = -targets * F.log_softmax(self.model(images), dim=1)
        divisor = targets[:, chosen].sum() if self.own_counts else targets.sum()
        return losses[:, chosen].sum() / divisor


def mixed(batch, labels=2):
    """A batch's images, with labels of other images beside their own, and the weights of all."""
    images, targets = batch
    generator = torch.Generator().manual_seed(int(targets.sum()))
    beside = [targets[torch.randperm(len(targets), generator=generator)] for _ in range(labels - 1)]
    share = torch.rand(len(targets), labels, dtype=torch.float64, generator=generator).softmax(dim=1)
    return images, torch.stack([targets, *beside], dim=1), share


def soft(targets, share, class_weights):
    weights = share if class_weights is None else share * class_weights[targets]
    return torch.zeros(len(targets), 4, dtype=torch.float64).scatter_add(1, targets, weights)


def gradient(model, images, targets, method, still=False, **options):
    """Loss and gradient, where `still` with BatchNorm in evaluation mode."""
    if still:
        model[1].eval()
    if method in NOISE.values():
        options |= {"batchnorm": "all", "generator": torch.Generator().manual_seed(3)}
    loss = step(model, CE, images, targets, method.table(COUNTS), **options)
    return [loss, *(parameter.grad for parameter in model.parameters())]


def assert_close(found, expected, atol=1e-13):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@weighted
@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize(
    ("method", "groups", "options"),
    [
        (METHODS["sgd"], [(EVERYONE, 0.0)], {}),
        (METHODS["sam"], [(EVERYONE, 0.5)], {}),
        (ImbSAM(rho=0.5, eta=10), [(~TAIL, 0.0), (TAIL, 0.5)], {}),
        (ImbSAM(rho=0.5, eta=10, normalization="double_tail"), [(~TAIL, 0.0), (TAIL, 0.5)], {"tail_factor": 2.0}),
        (ImbSAM(rho=0.5, eta=10, normalization="group"), [(~TAIL, 0.0), (TAIL, 0.5)], {"own_counts": True}),
        (METHODS["ssesam stage 1"], [(~TAIL, 0.3), (TAIL, 0.6)], {}),
        (METHODS["ssesam stage 2"], [(~TAIL, 0.0), (TAIL, 0.6)], {}),
    ],
    ids=["sgd", "sam", "imbsam", "imbsam double_tail", "imbsam by group", "ssesam stage 1", "ssesam stage 2"],
)
def test_steps_equal_the_plain_implementation_with_soft_labels(
    network, batches, method, groups, options, labels, class_weights
):
    plain, ours = SoftTrainer(network(), **options), network()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    for images, targets, share in (mixed(batch, labels) for batch in batches[4:10]):
        labelled = soft(targets, share, class_weights)
        expected = plain.group_loss(images, labelled, EVERYONE) if not plain.own_counts else None
        plain.step(images, labelled, groups)
        found = step(ours, CE, images, targets, method.table(COUNTS), class_weights=class_weights, target_weights=share)
        optimizer.step()
        optimizer.zero_grad()
        if expected is not None:
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
    assert_close(ours.parameters(), plain.model.parameters(), atol=1e-12)


@weighted
@pytest.mark.parametrize("options", [{}, {"micro_batches": 3}, {"micro_batches": 3, "ascent": "micro_batch"}])
@every_method
def test_one_label_of_weight_1_is_a_plain_batch_bit_for_bit(network, batches, name, options, class_weights):
    images, targets = batches[0]
    method, options = (METHODS | NOISE)[name], options | {"class_weights": class_weights}
    expected = gradient(network(), images, targets, method, **options)
    share = torch.ones(12, 1, dtype=torch.float64)
    found = gradient(network(), images, targets[:, None], method, target_weights=share, **options)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@weighted
@every_method
def test_labels_that_are_equal_are_one(network, batches, name, class_weights):
    images, targets = batches[0]
    method, options = (METHODS | NOISE)[name], {"class_weights": class_weights}
    share = torch.rand(12, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    options |= {"target_weights": torch.cat([share, 1 - share], dim=1)}
    found = gradient(network(), images, targets[:, None].expand(-1, 2), method, **options)
    del options["target_weights"]
    assert_close(found, gradient(network(), images, targets, method, **options))


@pytest.mark.parametrize("name", METHODS)
def test_a_label_of_weight_0_is_none(network, batches, name):
    """Were it counted, the other group would have a gradient of its own, and a length to climb."""
    images, _ = batches[0]
    targets = torch.arange(12) % 2
    both = torch.stack([targets, targets + 2], dim=1)  # a head's and a tail's
    share = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(12, 2)
    found = gradient(network(), images, both, METHODS[name], target_weights=share)
    assert_close(found, gradient(network(), images, targets, METHODS[name]))


@weighted
@pytest.mark.parametrize("name", METHODS)
def test_order_and_scale_of_the_labels_do_not_matter(network, batches, name, class_weights):
    images, targets, share = mixed(batches[0])
    options = {"method": METHODS[name], "class_weights": class_weights}
    expected = gradient(network(), images, targets, target_weights=share, **options)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    assert_close(
        gradient(network(), images[order], targets[order], target_weights=share[order], **options), expected, 1e-12
    )
    # Each image's labels in an order of their own.
    turned = torch.where((order < 6)[:, None], targets.flip(1), targets)
    weights = torch.where((order < 6)[:, None], share.flip(1), share)
    assert_close(gradient(network(), images, turned, target_weights=weights, **options), expected, 1e-12)
    assert_close(gradient(network(), images, targets, target_weights=3 * share, **options), expected, 1e-12)


@every_method
def test_without_an_ascent_the_gradient_is_the_mixture_of_the_labels_gradients(network, batches, name):
    """Noise does not follow the labels; where groups climb, the direction is a mixture too."""
    method, (images, targets, _) = (METHODS | NOISE)[name], mixed(batches[0])
    share = torch.tensor([[0.3, 0.7]], dtype=torch.float64).expand(12, 2)
    found = gradient(network(), images, targets, method, target_weights=share)
    first, second = (gradient(network(), images, column, method) for column in targets.unbind(1))
    mixture = [0.3 * a + 0.7 * b for a, b in zip(first, second, strict=True)]
    if name in ("sgd", *NOISE):
        assert_close(found, mixture)
    else:  # CC-SAM's radius is small, and its gradient near to that
        least = 1e-9 if name == "ccsam all" else 1e-4
        assert max((a - b).abs().max() for a, b in zip(found, mixture, strict=True)) > least


@weighted
@pytest.mark.parametrize("micro_batches", [5, 100])
@every_method
def test_exact_accumulation_is_one_batch(network, batches, name, micro_batches, class_weights):
    images, targets, share = mixed(batches[0])
    method, options = (METHODS | NOISE)[name], {"target_weights": share, "class_weights": class_weights, "still": True}
    one = gradient(network(), images, targets, method, **options)
    assert_close(gradient(network(), images, targets, method, micro_batches=micro_batches, **options), one)


@weighted
def test_the_ascent_of_each_micro_batch_is_the_weighted_mean_of_their_sam_gradients(network, batches, class_weights):
    images, targets, share = mixed(batches[0])
    share = share * torch.linspace(0.5, 2, 12, dtype=torch.float64)[:, None]  # images that count differently
    options = {"method": METHODS["sam"], "class_weights": class_weights, "still": True}
    found = gradient(network(), images, targets, target_weights=share, micro_batches=3, ascent="micro_batch", **options)
    counted = soft(targets, share, class_weights)
    expected = [torch.zeros_like(value) for value in found]
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        alone = gradient(network(), images[part], targets[part], target_weights=share[part], **options)
        expected = [e + a * counted[part].sum() / counted.sum() for e, a in zip(expected, alone, strict=True)]
    assert_close(found, expected)


def test_labels_share_the_forward_passes_and_the_criterion_sees_one_of_them_at_a_time(network, batches):
    images, targets, share = mixed(batches[0])
    model, passes, seen = network(), [], []
    model[0].register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))

    def criterion(logits, labels):
        seen.append(labels)
        return CE(logits, labels)

    step(model, criterion, images, targets, METHODS["ssesam stage 1"].table(COUNTS), target_weights=share)
    assert passes == [12] * 3
    assert len(seen) == 6
    for k, labels in enumerate(seen):
        assert labels.is_contiguous()
        assert torch.equal(labels, targets[:, k % 2])
