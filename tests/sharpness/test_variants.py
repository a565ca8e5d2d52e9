"""ASAM, GSAM, CC-SAM and the moves of their rows, against plain implementations of their formulas, step by step."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GSAM,
    SAM,
    AdaptiveMove,
    FocalSAM,
    GroupSAM,
    ImbSAM,
    NoPerturbation,
    NormRatioMove,
    Row,
    Table,
)
from tests.sharpness.methods import CE, COUNTS, METHODS, assert_close, gradient_of, make_network, step
from tests.sharpness.test_rows import PlainRows, assert_same_weights, train, weighted

ONES = torch.ones(4, dtype=torch.float64)
TINY = CCSAM(rho=1e-6, q=0.3)


class Plain(PlainRows):
    """The formulas, with loops over tensors, classes and single weights."""

    def step_with(self, images, targets, formula):
        self.descend(formula(images, targets))

    def asam(self, rho, eta):
        def formula(images, targets):
            g = self.gradient_at(images, targets, ONES)
            t = []
            for name, p in self.model.named_parameters():
                scaled = "weight" in name
                t.append((p.detach().abs() + eta) if scaled else torch.ones_like(p))
            norm = math.sqrt(sum(float((a * b).square().sum()) for a, b in zip(t, g, strict=True)))
            eps = [rho * a * a * b / norm for a, b in zip(t, g, strict=True)]
            return self.gradient_at(images, targets, ONES, list(zip(self.model.parameters(), eps, strict=True)))

        return formula

    def gsam(self, rho, alpha, rows):
        """With the rows' (ascent, descent, rho); GSAM itself has one."""

        def formula(images, targets):
            at_w = [self.gradient_at(images, targets, ascent) for ascent, _, own in rows if own is not None]
            moved = [
                self.gradient_at(images, targets, descent)
                if own is None
                else self.row(images, targets, ascent, descent, own, range(6))
                for ascent, descent, own in rows
            ]
            h = [sum(parts) for parts in zip(*at_w, strict=True)]
            g = [sum(parts) for parts in zip(*moved, strict=True)]
            dot = sum(float((a * b).sum()) for a, b in zip(h, g, strict=True))
            square = sum(float((b * b).sum()) for b in g)
            orthogonal = [a - dot / square * b for a, b in zip(h, g, strict=True)]
            return [b - alpha * o for b, o in zip(g, orthogonal, strict=True)]

        return formula

    def ccsam(self, rho, q, indices):
        """As the authors' code has it: the classes of the batch one by one, tensor by tensor."""

        def formula(images, targets):
            parameters = [list(self.model.parameters())[k] for k in indices]
            size = sum(p.numel() for p in parameters)
            total = [(1 - q) * g for g in self.gradient_at(images, targets, ONES)]
            for c in targets.unique().tolist():
                one = torch.eye(4, dtype=torch.float64)[c]
                mine = targets == c
                self.model.zero_grad()
                CE(self.model(images), targets)[mine].mean().backward()
                moves = []
                for p in parameters:
                    g = p.grad.clone()
                    length = rho * math.sqrt(float(p.detach().norm())) / math.sqrt(float(g.norm()))
                    length /= math.sqrt(2) * (int(COUNTS[c]) - 1) ** 0.25 * size**0.25
                    moves.append((p, length * g / g.norm() * math.sqrt(size)))
                own = self.gradient_at(images, targets, one, moves)
                total = [a + q * b for a, b in zip(total, own, strict=True)]
            return total

        return formula


def assert_steps_equal(batches, weights, table, formula):
    plain = Plain(make_network(), class_weights=weights)
    for images, targets in batches[:10]:
        plain.step_with(images, targets, formula(plain))
    assert_same_weights(train(table, batches[:10], weights), plain.model)
    return plain.model


@weighted
@pytest.mark.parametrize("eta", [0.0, 0.01, 0.3])
def test_ten_steps_of_asam_equal_its_formula(batches, eta, weights):
    assert_steps_equal(batches, weights, ASAM(rho=0.5, eta=eta).table(COUNTS), lambda plain: plain.asam(0.5, eta))


class Attention(nn.Module):
    """A network with weights that are not called `weight`: `in_proj_weight`, and the `original0` of a weight norm."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))

    def forward(self, images):
        rows = images.flatten(1, 2)
        return self.norm(self.attention(rows, rows, rows, need_weights=False)[0].mean(dim=1))


def test_asam_scales_every_parameter_with_weight_in_its_name(batches):
    torch.manual_seed(0)
    model = Attention().double()
    expected = Plain(copy.deepcopy(model)).asam(0.5, 0.1)(*batches[0])
    assert_close(gradient_of(batches[0], ASAM(rho=0.5, eta=0.1).table(COUNTS), model)[1], expected)


@weighted
def test_ten_steps_of_gsam_equal_its_formula(batches, weights):
    rows = [(ONES, ONES, 0.5)]
    table = GSAM(rho=0.5, alpha=0.4).table(COUNTS)
    found = assert_steps_equal(batches, weights, table, lambda plain: plain.gsam(0.5, 0.4, rows))
    sam = train(SAM(rho=0.5).table(COUNTS), batches[:10], weights)
    assert not torch.allclose(found[4].weight, sam[4].weight, atol=1e-4)


def test_a_gap_weight_beside_rows_of_groups_equals_its_formula(batches):
    head, tail = (COUNTS >= 10).double(), (COUNTS < 10).double()
    table = replace(ImbSAM(rho=0.5, eta=10).table(COUNTS), gap_weight=0.4)
    rows = [(None, head, None), (tail, tail, 0.5)]
    assert_steps_equal(batches, None, table, lambda plain: plain.gsam(None, 0.4, rows))


@weighted
@pytest.mark.parametrize(
    ("scope", "indices", "rho"),
    [("classifier", (4, 5), 1e-6), ("classifier", (4, 5), 0.1), ("all", range(6), 1e-6), ("all", range(6), 1e-5)],
)
def test_ten_steps_of_cc_sam_equal_its_formula(batches, scope, indices, rho, weights):
    """Radii of `all` stay small: the bias before BatchNorm follows rounding errors, whose small norm lengthens eps."""
    table = CCSAM(rho=rho, q=0.3, scope=scope).table(COUNTS)
    found = assert_steps_equal(batches, weights, table, lambda plain: plain.ccsam(rho, 0.3, indices))
    sgd = train(NoPerturbation().table(COUNTS), batches[:10], weights)
    assert (found[4].weight - sgd[4].weight).abs().max() > 1e-9


def test_a_radius_of_a_groups_norms_over_all_tensors_equals_its_formula(batches):
    """GKP-GSA's radius of a group, without its memory of earlier steps and its bounds."""
    head, tail = (COUNTS >= 10).double(), (COUNTS < 10).double()
    move = NormRatioMove(per_tensor=False)
    table = Table([Row(c, c, rho, move=move) for c, rho in ((head, 0.01), (tail, 0.02))])

    def formula_of(plain):
        def formula(images, targets):
            parameters, total = list(plain.model.parameters()), [0.0] * 6
            size = sum(p.numel() for p in parameters)
            for c, rho in ((head, 0.01), (tail, 0.02)):
                mine = c[targets] > 0
                if not mine.any():
                    continue
                plain.model.zero_grad()
                CE(plain.model(images), targets)[mine].mean().backward()
                g = [p.grad.clone() for p in parameters]
                norm = math.sqrt(sum(float(x.square().sum()) for x in g))
                of_w = math.sqrt(sum(float(p.detach().square().sum()) for p in parameters))
                length = rho * size**0.25 * math.sqrt(of_w / norm)
                moves = [(p, length * x / norm) for p, x in zip(parameters, g, strict=True)]
                own = plain.gradient_at(images, targets, c, moves)
                total = [a + b for a, b in zip(total, own, strict=True)]
            return total

        return formula

    assert_steps_equal(batches, None, table, formula_of)


@weighted
def test_ten_steps_of_group_sam_equal_its_formula(batches, weights):
    """CC-SAM's radius with the images, the gradient and the weights of a group, all tensors together."""

    def formula_of(plain):
        def formula(images, targets):
            parameters, total = list(plain.model.parameters()), [0.0] * 6
            size, of_image = sum(p.numel() for p in parameters), ONES if weights is None else weights
            for group, n in (([0, 1], 90), ([2, 3], 13)):
                mine = torch.tensor([int(y) in group for y in targets])
                if not mine.any():
                    continue
                plain.model.zero_grad()
                w = of_image[targets][mine]
                ((w * CE(plain.model(images), targets)[mine]).sum() / w.sum()).backward()
                g = [p.grad.clone() for p in parameters]
                of_g = math.sqrt(sum(float(x.square().sum()) for x in g))
                of_w = math.sqrt(sum(float(p.detach().square().sum()) for p in parameters))
                length = 0.05 * (size / (n - 1)) ** 0.25 * math.sqrt(of_w / (2 * of_g))
                moves = [(p, length * x / of_g) for p, x in zip(parameters, g, strict=True)]
                c = torch.tensor([float(j in group) for j in range(4)], dtype=torch.float64)
                total = [a + b for a, b in zip(total, plain.gradient_at(images, targets, c, moves), strict=True)]
            return total

        return formula

    table = GroupSAM(rho=0.05, eta=10).table(COUNTS)
    found = assert_steps_equal(batches, weights, table, formula_of)
    sgd = train(NoPerturbation().table(COUNTS), batches[:10], weights)
    assert not torch.allclose(found[4].weight, sgd[4].weight, atol=1e-4)


def test_radii_of_group_sam_follow_the_images_of_each_group():
    head, tail = GroupSAM(rho=0.2, eta=10).table(COUNTS).radii
    assert head == pytest.approx(0.2 / (math.sqrt(2) * 89**0.25))
    assert tail == pytest.approx(0.2 / (math.sqrt(2) * 12**0.25))
    (alone,) = GroupSAM(rho=0.2, eta=2).table([5, 3]).radii
    assert alone == pytest.approx(0.2 / (math.sqrt(2) * 7**0.25))
    (_, single) = GroupSAM(rho=0.2, eta=2).table([5, 1]).radii
    assert single == pytest.approx(0.2 / math.sqrt(2))  # one image counts as two
    assert GroupSAM(rho=0.2, eta=10).radii(0, 5) == {"rho": 0.2}


def test_settings_at_which_each_is_another_method(batches):
    def gradient(method):
        return gradient_of(batches[0], method.table(COUNTS))[1]

    sam, sgd = gradient(SAM(rho=0.5)), gradient(NoPerturbation())
    assert all(torch.equal(a, b) for a, b in zip(gradient(GSAM(rho=0.5, alpha=0)), sam, strict=True))
    for method in (GSAM(rho=0, alpha=0.4), ASAM(rho=0, eta=0.1), CCSAM(rho=0, q=0.3), CCSAM(rho=0.5, q=0)):
        assert_close(gradient(method), sgd)


def test_asam_does_not_depend_on_how_weights_are_scaled():
    """Kwon 2021's point: two networks that compute the same get the same loss at w + eps; SAM gives them others."""
    torch.manual_seed(0)
    images, targets = torch.randn(12, 5, dtype=torch.float64), torch.arange(12) % 4

    def moved_loss(method, factor):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False)).double()
        with torch.no_grad():
            model[0].weight.mul_(factor)
            model[2].weight.div_(factor)
        seen = []

        def criterion(logits, labels):
            losses = CE(logits, labels)
            seen.append(losses.mean().item())
            return losses

        step(model, criterion, images, targets, method.table(COUNTS))
        return seen[1]

    adaptive, plain = ASAM(rho=0.5, eta=0), SAM(rho=0.5)
    assert moved_loss(adaptive, 3.0) == pytest.approx(moved_loss(adaptive, 1.0), rel=1e-10)
    assert abs(moved_loss(plain, 3.0) - moved_loss(plain, 1.0)) > 1e-3


def test_cc_sams_radius_grows_as_classes_get_rarer():
    radii = CCSAM(rho=0.2, q=0.5).table([101, 17, 2, 1]).radii
    assert radii == pytest.approx((0, 0.2 / 200**0.25 / 2**0.25, 0.1 / 2**0.5, 0.2 / 2**0.5, 0.2 / 2**0.5))


@pytest.mark.parametrize("name", ["asam", "gsam", "ccsam", "ccsam all"])
def test_the_loss_scale_changes_nothing(batches, name):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    expected = gradient_of(batches[0], METHODS[name].table(COUNTS))[1]
    found = gradient_of(batches[0], METHODS[name].table(COUNTS), scaler=scaler)[1]
    assert_close([g / 1024 for g in found], expected)


@pytest.mark.parametrize("name", ["asam", "gsam", "ccsam", "ccsam all"])
def test_an_overflow_is_not_hidden(batches, name):
    (images, targets), model = batches[0], make_network().float()
    scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    table = METHODS[name].table(COUNTS)
    step(model, lambda logits, labels: 1e10 * CE(logits, labels), images.float(), targets, table, scaler=scaler)
    assert not any(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["asam", "gsam", "ccsam", "ccsam all"])
def test_radii_on_the_device_are_followed(batches, name):
    table = METHODS[name].table(COUNTS)
    doubled = Table([replace(row, radius=2 * row.radius) for row in table.rows], gap_weight=table.gap_weight)
    radii = torch.tensor(doubled.radii, dtype=torch.float64)
    expected, found = (gradient_of(batches[0], t)[1] for t in (doubled, table.with_radii(radii)))
    assert_close(found, expected)
    assert not torch.allclose(found[4], gradient_of(batches[0], table)[1][4], atol=1e-9)


@pytest.mark.parametrize("name", ["asam", "gsam", "ccsam", "ccsam all"])
def test_a_zero_gradient_moves_nothing(batches, name):
    """Also where a class weight is so large that its quotient with the smallest number overflows."""
    images, targets = batches[0]
    table, weights = METHODS[name].table(COUNTS), torch.tensor([0.5, 0.5, 100.0, 100.0])
    model = make_network().float()
    step(model, CE, images.float(), targets % 2, table, weights)
    assert all(p.grad.isfinite().all() for p in model.parameters())
    nothing = make_network()
    step(nothing, lambda logits, labels: 0 * CE(logits, labels), images, targets, table)
    assert all((p.grad == 0).all() for p in nothing.parameters())


def test_a_group_without_images_and_large_class_weights_gives_a_finite_gradient(batches):
    images, targets = batches[0]
    table = ImbSAM(rho=0.5, eta=10, normalization="group").table(COUNTS)
    model = make_network().float()
    step(model, CE, images.float(), targets % 2, table, torch.full((4,), 100.0))
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(SAM(rho=0.1).table(COUNTS), gap_weight=-1.0), "gap_weight must be finite and not below 0"),
        (lambda: replace(TINY.table(COUNTS), gap_weight=0.1), "no noise, no scope 'classifier', no NormRatioMove"),
        (lambda: Table([Row(None, ONES, 0.1)], direction="clamped", gap_weight=0.1), "a gap_weight above 0 needs rows"),
        (lambda: Table([Row(ONES, ONES, 0.1, move="up")]), "move must be a Move, such as L2Move"),
        (lambda: Table([Row(-ONES, ONES, 0.1, move=NormRatioMove())]), "with NormRatioMove, not below 0"),
        (lambda: CCSAM(rho=1e-6, q=1.5), r"q must lie in \[0, 1\], not 1.5"),
        (lambda: CCSAM(rho=1e-6, q=0.5, scope="head"), "scope must be one of all, classifier, not 'head'"),
        (lambda: ASAM(rho=0.5, eta=-0.01), "eta must be finite and not below 0"),
        (lambda: GSAM(rho=0.5, alpha=float("nan")), "alpha must be finite and not below 0"),
        (lambda: AdaptiveMove(eta=-1.0), "eta must be finite and not below 0"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_moves_and_gap_weights_belong_to_the_structure():
    sam, focal = SAM(rho=0.5).table(COUNTS), FocalSAM(rho=0.5, lam=1, gamma=0).table(COUNTS)
    tables = [
        sam,
        GSAM(rho=0.5, alpha=0.1).table(COUNTS),
        GSAM(rho=0.5, alpha=0.2).table(COUNTS),
        ASAM(rho=0.5, eta=0.1).table(COUNTS),
        ASAM(rho=0.5, eta=0.2).table(COUNTS),
        CCSAM(rho=0.5, q=1.0).table(COUNTS),
        CCSAM(rho=0.5, q=1.0, scope="all").table(COUNTS),
    ]
    assert len({table.structure for table in tables}) == len(tables)
    assert focal.structure == sam.structure
