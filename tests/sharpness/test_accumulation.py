"""Micro-batches: the exact accumulation and the ascent of each micro-batch, and what BatchNorm sees of them."""

import pytest
import torch

from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, step

WEIGHTS = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)


def gradient(model, images, targets, method, **options):
    """Loss and gradient with BatchNorm in evaluation mode, which knows no batch."""
    model[1].eval()
    loss = step(model, CE, images, targets, method.table(COUNTS), **options)
    return [loss, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize("micro_batches", [5, 100])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", [*METHODS, *NOISE])
def test_exact_accumulation_is_one_batch(network, batches, name, weights, micro_batches):
    def found(micro_batches):
        options = {"class_weights": weights, "micro_batches": micro_batches}
        if name in NOISE:
            options |= {"batchnorm": "all", "generator": torch.Generator().manual_seed(3)}
        return gradient(network(), *batches[0], (METHODS | NOISE)[name], **options)

    for a, b in zip(found(1), found(micro_batches), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-13)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_ascent_of_each_micro_batch_is_the_weighted_mean_of_their_sam_gradients(network, batches, weights):
    images, targets = batches[0]
    found = gradient(
        network(), images, targets, METHODS["sam"], class_weights=weights, micro_batches=3, ascent="micro_batch"
    )
    share = torch.ones(12, dtype=torch.float64) if weights is None else weights[targets]
    expected = [torch.zeros_like(value) for value in found]
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        alone = gradient(network(), images[part], targets[part], METHODS["sam"], class_weights=weights)
        expected = [e + a * share[part].sum() / share.sum() for e, a in zip(expected, alone, strict=True)]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-13)
    exact = gradient(network(), images, targets, METHODS["sam"], class_weights=weights, micro_batches=3)
    assert (exact[1] - found[1]).abs().max() > 1e-4


@pytest.mark.parametrize(("batchnorm", "updates"), [("clean", 3), ("all", 9)])
def test_each_micro_batch_enters_the_statistics_as_a_batch_of_its_own(network, batches, batchnorm, updates):
    model, seen = network(), []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    table = METHODS["ssesam stage 1"].table(COUNTS)
    step(model, CE, *batches[0], table, batchnorm=batchnorm, micro_batches=3)
    assert seen == [4] * 9
    assert model[1].num_batches_tracked == updates
