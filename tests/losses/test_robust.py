"""DRO-LT against its formula, written out class by class and image by image; its prototypes over the epochs."""

import pytest
import torch

from ltzoo.losses import DROLT, Outputs, create_loss
from tests.losses.oracle import COUNTS, TARGETS, agree, random


def make(radius=1.0, temperature=1.0):
    return create_loss("drolt", COUNTS, num_features=5, radius=radius, temperature=temperature).double()


def formula(logits, features, prototypes, radius, temperature, known):
    """DRO-LT's loss of a batch; `known` lists the classes with a prototype."""
    weights = [n / max(COUNTS) for n in COUNTS]
    costs = [weights[y] * (logits[i].exp().sum().log() - logits[i, y]) for i, y in enumerate(TARGETS)]
    classes = [c for c in sorted(set(TARGETS)) if c in known]
    robust = torch.zeros((), dtype=torch.float64)
    for c in classes:
        scores = []
        for k, y in enumerate(TARGETS):
            distance = sum((m - z) ** 2 for m, z in zip(prototypes[c], features[k], strict=True)).sqrt()
            scores.append(-(distance + (radius[c] if y == c else 0)) / temperature)
        log_sum = sum(score.exp() for score in scores).log()
        own = [scores[i] - log_sum for i, y in enumerate(TARGETS) if y == c]
        robust = robust - sum(own) / len(own)
    return sum(costs) / sum(weights[y] for y in TARGETS) + robust / max(1, len(classes))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("known", [[0, 1, 2, 3], [0, 3], [2], []])
def test_it_is_its_formula(temperature, known):
    loss = make(temperature=temperature)
    with torch.no_grad():
        loss.radius.copy_(torch.tensor([0.3, 1.0, 2.0, -0.1]))
    centres = random(len(known), 5, seed=2).detach()
    loss.set_prototypes(centres, torch.tensor(known, dtype=torch.int64))
    logits, features = random(len(TARGETS), 4), random(len(TARGETS), 5, seed=1)
    agree(
        loss,
        Outputs(logits, features=features),
        lambda: formula(logits, features, loss.prototypes, loss.radius, temperature, known),
        [logits, features, loss.radius],
        TARGETS,
    )


def test_prototypes_are_the_class_means_of_the_last_epochs_features():
    loss = make()
    loss.begin(0)
    features, targets = random(len(TARGETS), 5).detach(), torch.tensor(TARGETS)
    for part in (slice(0, 5), slice(5, 9)):
        loss.commit(Outputs(torch.zeros(0, 4), features=features[part]), targets[part])
    assert not loss.known.any()  # until the epoch ends
    loss.begin(0)  # as after a resume within the epoch
    assert not loss.known.any()
    loss.begin(1)
    assert loss.known.all()
    for c in range(4):
        own = [features[i] for i, y in enumerate(TARGETS) if y == c]
        torch.testing.assert_close(loss.prototypes[c], sum(own) / len(own), rtol=1e-12, atol=1e-12)
    before = loss.prototypes.clone()
    loss.commit(Outputs(torch.zeros(0, 4), features=features[:1]), targets[:1])
    loss.begin(2)
    torch.testing.assert_close(loss.prototypes[0], features[0])  # of the second epoch's images alone
    assert torch.equal(loss.prototypes[1:], before[1:])  # a class without an image keeps its own


def test_prototypes_can_be_given_before_each_epoch():
    loss, features = make(), random(6, 5).detach()
    loss.begin(0)
    loss.set_prototypes(features, torch.tensor([0, 0, 2, 2, 2, 0]))
    torch.testing.assert_close(loss.prototypes[2], features[2:5].mean(dim=0), rtol=1e-12, atol=1e-12)
    assert loss.known.tolist() == [True, False, True, False]
    assert not loss.prototypes[1].any()


def test_forward_changes_no_state():
    loss = make()
    loss.set_prototypes(random(4, 5).detach(), torch.arange(4))
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    loss(Outputs(random(9, 4), features=random(9, 5)), torch.tensor(TARGETS))
    assert all(torch.equal(before[key], value) for key, value in loss.state_dict().items())
    assert [name for name, _ in loss.named_parameters()] == ["radius"]
    assert (loss.asks, loss.ties_images, loss.single_process) == ({"features"}, True, True)


def test_a_feature_at_its_prototype_has_a_finite_gradient():
    loss, features = make(), random(9, 5)
    loss.set_prototypes(features.detach()[:1], torch.tensor([0]))
    loss(Outputs(random(9, 4), features=features), torch.tensor(TARGETS)).sum().backward()
    assert bool(features.grad.isfinite().all())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="temperature must be above 0"):
        DROLT(radius=1.0, temperature=0.0)
    with pytest.raises(ValueError, match="the loss drolt needs num_features"):
        DROLT(radius=1.0, temperature=1.0).bind(COUNTS)
    with pytest.raises(ValueError, match="the loss drolt needs features; pass"):
        make()(Outputs(torch.zeros(2, 4)), torch.tensor([0, 1]))
