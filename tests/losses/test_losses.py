"""Losses against their formulas, written out image by image in float64."""

import math

import pytest
import torch

from ltzoo.losses import (
    CE,
    LA,
    LDAM,
    LOSSES,
    VS,
    BalancedSoftmax,
    Focal,
    LabelAwareSmoothing,
    LogitLDAM,
    LossModule,
    Outputs,
)

COUNTS = [60, 30, 9, 4]
PI = [count / sum(COUNTS) for count in COUNTS]
CASES = {
    "ce": (CE(), lambda z, y: z),
    "ldam": (
        LDAM(max_margin=0.5, scale=30.0),
        lambda z, y: [
            30 * (z[j] - (0.5 * COUNTS[j] ** -0.25 / min(COUNTS) ** -0.25 if j == y else 0)) for j in range(4)
        ],
    ),
    "logit_ldam": (
        LogitLDAM(max_margin=0.5, scale=30.0),
        lambda z, y: [z[j] - (30 * 0.5 * COUNTS[j] ** -0.25 / min(COUNTS) ** -0.25 if j == y else 0) for j in range(4)],
    ),
    "bs": (BalancedSoftmax(), lambda z, y: [z[j] + math.log(COUNTS[j]) for j in range(4)]),
    "la": (LA(tau=0.75), lambda z, y: [z[j] + 0.75 * math.log(PI[j]) for j in range(4)]),
    "vs": (
        VS(gamma=0.15, tau=1.25),
        lambda z, y: [z[j] / (60 / COUNTS[j]) ** 0.15 + 1.25 * math.log(PI[j]) for j in range(4)],
    ),
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(8, 4, dtype=torch.float64, generator=generator) * 2 - 1
    return logits, torch.arange(8) % 4


@pytest.mark.parametrize("name", CASES)
def test_the_loss_is_its_formula(name, batch):
    config, adjusted = CASES[name]
    logits, targets = batch
    expected = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        z = adjusted(row, target)
        expected.append(math.log(sum(math.exp(value) for value in z)) - z[target])
    found = config.bind(COUNTS)(logits, targets)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_is_its_formula(gamma, batch):
    logits, targets = batch
    expected = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        p = math.exp(row[target]) / sum(math.exp(value) for value in row)
        expected.append(-((1 - p) ** gamma) * math.log(p))
    found = Focal(gamma=gamma).bind(COUNTS)(logits, targets)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)


def test_focals_gradient_is_finite_where_the_model_is_sure():
    logits = torch.tensor([[200.0, 0.0], [30.0, 0.0]], requires_grad=True)
    Focal(gamma=0.5).bind([3, 2])(logits, torch.tensor([0, 0])).sum().backward()
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("loss", [*(case[0] for case in CASES.values()), Focal(gamma=1.0), Focal(gamma=2.0)], ids=str)
def test_gradient_is_the_formulas(loss, batch):
    logits, targets = batch
    loss = loss.bind(COUNTS)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits.clone().requires_grad_())


@pytest.mark.parametrize("name", CASES)
def test_the_loss_keeps_the_dtype_of_the_logits(name, batch):
    logits, targets = batch
    loss = CASES[name][0].bind(COUNTS)(logits.float(), targets)
    assert loss.dtype == torch.float32
    assert loss.shape == (8,)


def test_the_largest_margin_is_the_rarest_classes():
    margin = LDAM(max_margin=0.5, scale=30.0).bind(COUNTS).margin / 30
    assert margin.argmax() == 3
    assert margin.max() == pytest.approx(0.5, abs=1e-15)


def test_cosines_alone_are_scaled_before_they_are_probabilities():
    scales = {name: case[0].logit_scale for name, case in CASES.items()}
    assert scales == dict.fromkeys(CASES, 1.0) | {"ldam": 30.0}


def test_vs_without_its_factor_is_la(batch):
    torch.testing.assert_close(VS(gamma=0, tau=0.75).bind(COUNTS)(*batch), LA(tau=0.75).bind(COUNTS)(*batch))


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="from 1 on"):
        LA(tau=1.0).bind([10, 0])
    with pytest.raises(ValueError, match=r"from 1 on, not \[nan\]$"):
        LA(tau=1.0).bind(torch.tensor([10.0, math.nan]))
    with pytest.raises(ValueError, match=r"from 1 on, not \[inf\]$"):
        LA(tau=1.0).bind([math.inf, 3])
    with pytest.raises(ValueError, match=r"of the shape \(1, 2\)"):
        LA(tau=1.0).bind([[10, 5]])


def test_of_thousands_of_wrong_counts_a_few_are_shown():
    with pytest.raises(ValueError, match="from 1 on") as caught:
        LA(tau=1.0).bind([0] * 8142)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("make", [lambda: LA(tau=-1.0), lambda: LDAM(max_margin=float("nan"), scale=30.0)])
def test_senseless_settings_are_refused(make):
    with pytest.raises(ValueError, match="must be finite and not below 0"):
        make()


@pytest.mark.parametrize(("most", "least"), [(0.4, 0.1), (0.3, 0.0), (0.0, 0.0)])
def test_label_aware_smoothing_is_its_formula(most, least, batch):
    logits, targets = batch
    loss = LabelAwareSmoothing(most, least).bind(COUNTS)
    for row, target, found in zip(logits.tolist(), targets.tolist(), loss(logits, targets).tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        costs = [-math.log(math.exp(z) / total) for z in row]
        e = least + (most - least) * math.sin(math.pi * (COUNTS[target] - 4) / (2 * (60 - 4)))
        assert found == pytest.approx((1 - e) * costs[target] + e * sum(costs) / 4, rel=1e-12)


def test_label_aware_smoothing_at_both_ends_of_the_counts():
    counts = [500, 200, 37, 5]
    smoothing = LabelAwareSmoothing(most=0.4, least=0.1).bind(counts).smoothing
    assert smoothing[0] == pytest.approx(0.4, abs=1e-15)
    assert smoothing[3] == pytest.approx(0.1, abs=1e-15)
    assert (smoothing.diff() < 0).all()
    # Classes of one size are all the largest.
    assert LabelAwareSmoothing(0.4, 0.1).bind([7, 7, 7]).smoothing.tolist() == pytest.approx([0.4] * 3)
    with pytest.raises(ValueError, match=r"most and least must be at most 1, not 1.5 and 0"):
        LabelAwareSmoothing(1.5, 0)
    with pytest.raises(ValueError, match=r"least must be at most most, not 0.4 and 0"):
        LabelAwareSmoothing(most=0, least=0.4)


def test_names_are_the_recipes_words():
    from_logits = ["ce", "ldam", "logit_ldam", "la", "bs", "vs", "focal", "las"]
    assert list(LOSSES) == [*from_logits, "ride", "sade", "ib", "glmc", "drolt", "bcl", "proco", "paco"]


def test_outputs_convert_half_precision_and_detach_whatever_they_hold():
    logits = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True) * 2
    outputs = Outputs(logits, experts=torch.zeros(2, 2, 3, dtype=torch.float64))
    converted = outputs.float()
    assert (converted.logits.dtype, converted.experts.dtype) == (torch.float32, torch.float64)
    assert (converted.features, converted.projections) == (None, None)
    assert converted.logits.requires_grad
    assert not outputs.detach().logits.requires_grad


def test_a_module_has_the_flags_of_its_record():
    class Record(CE):
        asks = frozenset({"features"})
        ties_images = True

    class Module(LossModule):
        def forward(self, outputs, targets):
            return outputs.logits.sum(dim=1)

    module = Module(Record())
    assert (module.asks, module.ties_images, module.single_process) == ({"features"}, True, False)
    assert Module().asks == CE.asks == frozenset()
