"""Rows that move the classifier alone: they share the features of one forward pass with all others."""

import pytest
import torch
from torch import nn

from ltzoo.sharpness import CCSAM, checks
from tests.sharpness.methods import CE, COUNTS, METHODS, assert_close, gradient_of, make_network

TINY = CCSAM(rho=1e-6, q=0.3)


def not_the_classifiers(model):
    """A forward pass whose logits the classifier did not return itself."""
    return lambda images: model(images) * 1.0


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["by class", "ccsam"])
def test_the_classifiers_rows_share_the_features_exactly(batches, name, mixed):
    (images, targets), table = batches[0], METHODS[name].table(COUNTS)
    weights = torch.rand(12, 2, dtype=torch.float64) if mixed else None
    batch = images, torch.stack([targets, targets.flip(0)], dim=1) if mixed else targets
    model = make_network()
    loss, shared = gradient_of(batch, table, target_weights=weights)
    expected_loss, whole = gradient_of(batch, table, model, forward=not_the_classifiers(model), target_weights=weights)
    assert_close(shared, whole)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["by class", "ccsam"])
def test_the_classifiers_rows_need_no_pass_through_the_rest(batches, name):
    model, passes = make_network(), []
    model[3].register_forward_hook(lambda *_: passes.append("forward"))
    model[0].weight.register_hook(lambda _: passes.append("backward"))
    before = [p._version for p in model.parameters()]
    statistics = model[1].num_batches_tracked.item()
    gradient_of(batches[0], METHODS[name].table(COUNTS), model)
    assert passes == ["forward", "backward"]
    assert [p._version for p in model.parameters()] == before
    assert model[1].num_batches_tracked == statistics + 1
    assert not model[4]._forward_hooks


@pytest.mark.parametrize("ascent", ["averaged", "local"])
def test_only_classes_of_the_batch_move_the_classifier(batches, ascent):
    """A row of another class would take a gradient and a copy of the classifier, and add nothing."""
    images, targets = batches[0][0], batches[0][1] % 2 * 3
    model, calls = make_network(), []
    model[4].register_forward_hook(lambda *_: calls.append(1))
    _, found = gradient_of((images, targets), CCSAM(rho=0.1, q=0.7).table(COUNTS), model, ascent=ascent)
    assert len(calls) == 1 + 2
    other = make_network()
    whole = not_the_classifiers(other)
    _, expected = gradient_of((images, targets), CCSAM(rho=0.1, q=0.7).table(COUNTS), other, forward=whole)
    assert_close(found, expected)
    nothing = torch.zeros(4, dtype=torch.float64)
    _, none = gradient_of((images, targets), CCSAM(rho=0.1, q=1.0).table(COUNTS), class_weights=nothing)
    assert all((g == 0).all() for g in none)


@pytest.mark.parametrize(("options", "count"), [({}, 2), ({"micro_batches": 2}, 4)])
def test_more_moves_of_the_classifier_than_fit_the_memory_are_refused(batches, options, count, monkeypatch):
    batch, table = (batches[0][0], batches[0][1] % 2), CCSAM(rho=0.1, q=0.7).table(COUNTS)
    monkeypatch.setattr(checks, "_MOST_CLASSIFIER_ROWS", count)
    gradient_of(batch, table, **options)
    monkeypatch.setattr(checks, "_MOST_CLASSIFIER_ROWS", count - 1)
    with pytest.raises(
        ValueError, match=f"^{count} rows move the classifier.* memory grows .* at most {count - 1} can"
    ):
        gradient_of(batch, table, **options)


def test_a_dropout_before_the_classifier_is_drawn_once(batches):
    """So that all rows see the same features, as in the authors' code."""
    model = make_network()
    model[3] = nn.Sequential(nn.Flatten(), nn.Dropout(0.5))
    images, targets = batches[0]
    torch.manual_seed(3)
    _, found = gradient_of((images, targets), CCSAM(rho=0, q=1.0).table(COUNTS), model)
    torch.manual_seed(3)
    model.zero_grad()
    CE(model(images), targets).mean().backward()
    assert_close(found, [p.grad for p in model.parameters()])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("inside", [False, True])
def test_the_classifier_runs_again_in_the_precision_of_its_first_run(batches, dtype, inside):
    images, targets = batches[0][0].float(), batches[0][1]
    model, types = make_network().float(), []
    model[4].register_forward_pre_hook(lambda _, inputs: types.append(torch.is_autocast_enabled("cpu")))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def forward(x):
        with torch.autocast("cpu", dtype):
            return model(x).float()

    with torch.autocast("cpu", dtype, enabled=not inside):
        gradient_of((images, targets), TINY.table(COUNTS), model, scaler=scaler, forward=forward if inside else None)
    exact = gradient_of((images, targets), TINY.table(COUNTS), make_network().float())[1]
    assert types == [True] * 5
    found = torch.cat([p.grad.flatten() / 8 for p in model.parameters()])
    assert torch.cosine_similarity(found, torch.cat([g.flatten() for g in exact]), dim=0) > 0.99
