"""Proofs 3 and 4: whole trajectories against the plain implementation, and methods that are each other."""

import pytest
import torch

from ltzoo.sharpness import (
    LPFSGD,
    PGD,
    SAM,
    SSESAM,
    Cosine,
    ImbSAM,
    Linear,
    NoPerturbation,
    SAMExt,
    Steps,
)
from tests.sharpness.methods import CE, COUNTS, METHODS, step
from tests.sharpness.reference import PlainTrainer

TAIL = COUNTS < 10
GROUPS = {
    "sgd": lambda tail: [(torch.ones_like(tail), 0.0)],
    "sam": lambda tail: [(torch.ones_like(tail), 0.5)],
    "imbsam": lambda tail: [(~tail, 0.0), (tail, 0.5)],
    "samext": lambda tail: [(~tail, 0.3), (tail, 0.6)],
    "ssesam stage 1": lambda tail: [(~tail, 0.3), (tail, 0.6)],
    "ssesam stage 2": lambda tail: [(~tail, 0.0), (tail, 0.6)],
}
"""What the plain implementation is told of a batch: boolean masks and radii."""


def train(model, batches, method, epochs=1, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    for epoch in range(epochs):
        table = method.table(COUNTS, epoch, epochs)
        for images, targets in batches:
            step(model, CE, images, targets, table, **options)
            optimizer.step()
            optimizer.zero_grad()
    return model


@pytest.mark.parametrize("batchnorm", ["clean", "all"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", GROUPS)
def test_twenty_steps_equal_the_plain_implementation(network, batches, name, weighted, batchnorm):
    weights = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64) if weighted else None
    plain = PlainTrainer(network(), class_weights=weights, keep_statistics=batchnorm == "clean")
    for images, targets in batches:
        plain.step(images, targets, GROUPS[name](TAIL[targets]))
    ours = train(network(), batches, METHODS[name], class_weights=weights, batchnorm=batchnorm)
    for expected, found in zip(plain.model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    if batchnorm == "clean":  # in "all" the reference runs the forward at w once a group, so it counts other passes
        expected = dict(network().named_buffers())
        assert ours[1].num_batches_tracked == expected["1.num_batches_tracked"] + len(batches)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalization", ["batch", "double_tail", "group"])
def test_twenty_steps_of_each_imbsam_equal_the_plain_implementation(network, batches, normalization, weighted):
    weights = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64) if weighted else None
    plain = PlainTrainer(
        network(),
        class_weights=weights,
        own_counts=normalization == "group",
        tail_factor=2.0 if normalization == "double_tail" else 1.0,
    )
    for images, targets in batches:
        tail = TAIL[targets]
        plain.step(images, targets, [(~tail, 0.0), (tail, 0.5)])
    ours = train(network(), batches, ImbSAM(rho=0.5, eta=10, normalization=normalization), class_weights=weights)
    for expected, found in zip(plain.model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def isotropic(parameter, count, rho, generator):
    return rho / count**0.5 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator)


def filter_scaled(parameter, _, std, generator):
    noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    if parameter.ndim == 1:
        return std * parameter.pow(2).sum().sqrt() * noise
    return torch.stack([std * row.pow(2).sum().sqrt() * n for row, n in zip(parameter, noise, strict=True)])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("method", "noise", "radius", "parts"),
    [(PGD(rho=0.5), isotropic, 0.5, 1), (LPFSGD(std=0.1, parts=5), filter_scaled, 0.1, 5)],
)
def test_twenty_noisy_steps_equal_the_plain_implementation(network, batches, method, noise, radius, parts, weighted):
    weights = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64) if weighted else None
    plain, generator = PlainTrainer(network(), class_weights=weights), torch.Generator().manual_seed(5)
    count = sum(p.numel() for p in plain.model.parameters())
    for images, targets in batches:
        plain.noisy_step(images, targets, parts, lambda p: noise(p, count, radius, generator))
    ours = train(
        network(),
        batches,
        method,
        class_weights=weights,
        batchnorm="all",
        generator=torch.Generator().manual_seed(5),
    )
    for expected, found in zip(plain.model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for expected, found in zip(plain.model.buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "radii"),
    [
        (SAM(rho=Steps(radii=(0.1, 0.5), milestones=(2,))), [(0.1,), (0.1,), (0.5,), (0.5,)]),
        (SAM(rho=Linear(start=0.2, end=0.8)), [(0.2,), (0.4,), (0.6,), (0.8,)]),
        (SAM(rho=Cosine(start=0.2, end=0.8)), [(0.2,), (0.35,), (0.65,), (0.8,)]),
        (SSESAM(rho_head=0.3, rho_tail=0.6, gamma=0.5, eta=10), [(0.3, 0.6), (0.3, 0.6), (0.0, 0.6), (0.0, 0.6)]),
    ],
    ids=["steps", "linear", "cosine", "stages"],
)
def test_four_epochs_of_a_schedule_equal_the_plain_implementation(network, batches, method, radii):
    plain = PlainTrainer(network())
    for rho in radii:
        for images, targets in batches[:5]:
            tail = TAIL[targets]
            groups = [(torch.ones_like(tail), rho[0])] if len(rho) == 1 else [(~tail, rho[0]), (tail, rho[1])]
            plain.step(images, targets, groups)
    ours = train(network(), batches[:5], method, epochs=4)
    for expected, found in zip(plain.model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_noise_follows_the_generator_and_differs_between_steps(network, batches):
    def weights(seed):
        generator = torch.Generator().manual_seed(seed)
        model = train(network(), batches[:2], PGD(rho=0.5), batchnorm="all", generator=generator)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_rho_zero_is_sgd_bit_for_bit(network, batches):
    by_torch = network()
    optimizer = torch.optim.SGD(by_torch.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    for images, targets in batches:
        losses = CE(by_torch(images), targets)
        (losses * (1 / len(targets))).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    zeros = [NoPerturbation(), SAM(rho=0), ImbSAM(rho=0, eta=10), SSESAM(rho_head=0, rho_tail=0, gamma=0.5, eta=10)]
    for method in [*zeros, PGD(rho=0), LPFSGD(std=0, parts=1)]:
        ours = train(network(), batches, method, batchnorm="clean" if method in zeros else "all")
        assert all(torch.equal(a, b) for a, b in zip(by_torch.parameters(), ours.parameters(), strict=True)), method


def test_gamma_zero_is_imbsam_and_one_tail_group_is_sam(network, batches):
    def weights(method):
        return list(train(network(), batches[:5], method, epochs=2).parameters())

    def same(a, b):
        return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))

    assert same(SSESAM(rho_head=0.3, rho_tail=0.5, gamma=0, eta=10), ImbSAM(rho=0.5, eta=10))
    assert same(SSESAM(rho_head=0.3, rho_tail=0.5, gamma=1, eta=10), SAMExt(rho_head=0.3, rho_tail=0.5, eta=10))
    assert same(SSESAM(rho_head=0.3, rho_tail=0.5, gamma=1, eta=1000), SAM(rho=0.5))
    assert same(SSESAM(rho_head=0.3, rho_tail=0.5, gamma=1, eta=1), SAM(rho=0.3))
    assert not same(SSESAM(rho_head=0.3, rho_tail=0.5, gamma=1, eta=10), ImbSAM(rho=0.5, eta=10))
