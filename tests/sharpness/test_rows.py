"""Rows of any weights and scopes, and Focal-SAM, against plain implementations of their formulas."""

import pytest
import torch
import torch.nn.functional as F

from ltzoo.sharpness import FocalSAM, Row, Table
from tests.sharpness.methods import CE, CLASS_RADII, COUNTS, METHODS, make_network, step
from tests.sharpness.reference import PlainTrainer

WEIGHTS = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)
weighted = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])


class PlainRows(PlainTrainer):
    """Steps on sums of class-weighted losses, each differentiated at weights that another loss's gradient moved."""

    def loss(self, images, targets, c):
        w = torch.ones(4, dtype=torch.float64) if self.class_weights is None else self.class_weights
        losses = F.cross_entropy(self.model(images), targets, reduction="none")
        return (c[targets] * w[targets] * losses).sum() / w[targets].sum()

    def gradient_at(self, images, targets, c, moves=()):
        """Gradient of the loss with class weights c where parameters have moved by (parameter, eps)."""
        with torch.no_grad():
            before = [p.clone() for p, _ in moves]
            for p, eps in moves:
                p += eps
        self.model.zero_grad()
        self.loss(images, targets, c).backward()
        with torch.no_grad():
            for (p, _), old in zip(moves, before, strict=True):
                p.copy_(old)
        return [p.grad.clone() for p in self.model.parameters()]

    def row(self, images, targets, ascent, descent, rho, moved):
        """Gradient of one row; `moved` are the indices of the parameters that it moves."""
        g = self.gradient_at(images, targets, ascent)
        norm = torch.sqrt(sum((g[k] ** 2).sum() for k in moved))
        parameters = list(self.model.parameters())
        moves = [(parameters[k], rho * g[k] / norm) for k in moved] if norm > 0 else []
        return self.gradient_at(images, targets, descent, moves)

    def focal_sam_step(self, images, targets, rho, lam, gamma):
        """Focal-SAM's formula."""
        pi = COUNTS / COUNTS.sum(dtype=torch.float64)
        c = lam * (1 - pi) ** gamma
        at_w = self.gradient_at(images, targets, 1 - c)
        beside = self.row(images, targets, c, c, rho, range(6))
        self.descend([a + b for a, b in zip(at_w, beside, strict=True)])


def train(table, batches, weights):
    model = make_network()
    model[1].track_running_stats = False
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    for images, targets in batches:
        step(model, CE, images, targets, table, weights)
        optimizer.step()
        optimizer.zero_grad()
    return model


def assert_same_weights(found, expected):
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@weighted
@pytest.mark.parametrize(("rho", "lam", "gamma"), [(0.3, 0.8, 3.2), (0.2, 1.1, 0.2)])
def test_ten_steps_of_focal_sam_equal_its_formula(batches, rho, lam, gamma, weights):
    plain = PlainRows(make_network(), class_weights=weights)
    for images, targets in batches[:10]:
        plain.focal_sam_step(images, targets, rho, lam, gamma)
    table = FocalSAM(rho=rho, lam=lam, gamma=gamma).table(COUNTS)
    assert (table.rows[0].descent < 0).any() == (lam > 1)
    assert_same_weights(train(table, batches[:10], weights), plain.model)


@weighted
def test_ten_steps_with_one_row_per_class_that_moves_the_classifier_equal_their_formula(batches, weights):
    plain = PlainRows(make_network(), class_weights=weights)
    one = torch.eye(4, dtype=torch.float64)
    for images, targets in batches[:10]:
        parts = [plain.row(images, targets, one[c], one[c], CLASS_RADII[c], (4, 5)) for c in range(4)]
        plain.descend([sum(gradients) for gradients in zip(*parts, strict=True)])
    assert_same_weights(train(METHODS["by class"].table(COUNTS), batches[:10], weights), plain.model)


@weighted
def test_ten_steps_of_mixed_rows_equal_their_formula(batches, weights):
    """A row that stays, one that moves all parameters along another loss, one that moves the classifier."""
    still, own, other, classifier = torch.rand(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    plain = PlainRows(make_network(), class_weights=weights)
    for images, targets in batches[:10]:
        parts = [
            plain.gradient_at(images, targets, still),
            plain.row(images, targets, other, own, 0.4, range(6)),
            plain.row(images, targets, classifier, classifier, 0.2, (4, 5)),
        ]
        plain.descend([sum(gradients) for gradients in zip(*parts, strict=True)])
    rows = [Row(other, own, 0.4), Row(None, still, 0.0), Row(classifier, classifier, 0.2, "classifier")]
    assert_same_weights(train(Table(rows, reweights=True), batches[:10], weights), plain.model)


def test_radii_on_the_device_take_the_place_of_the_tables_own(network, batches):
    def gradient(table):
        model = network()
        step(model, CE, *batches[0], table)
        return [parameter.grad for parameter in model.parameters()]

    radii = torch.zeros(2, dtype=torch.float64)
    table = METHODS["ssesam stage 1"].table(COUNTS).with_radii(radii)
    for head, tail in ((0.3, 0.6), (0.1, 0.2)):
        radii.copy_(torch.tensor([head, tail], dtype=torch.float64))
        rows = [Row(row.ascent, row.descent, rho) for row, rho in zip(table.rows, (head, tail), strict=True)]
        for a, b in zip(gradient(table), gradient(Table(rows)), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_a_scope_restores_and_differentiates_no_other_parameters(network, batches):
    """The ascent of the classifier's rows needs no backward pass through the rest of the model."""
    model, passes = network(), []
    model[2].register_full_backward_hook(lambda *_: passes.append("features"))
    model[4].register_full_backward_hook(lambda *_: passes.append("classifier"))
    before = [(p.detach().clone(), p._version) for p in model.parameters()]
    step(model, CE, *batches[0], METHODS["by class"].table(COUNTS))
    assert passes.count("features") == 4
    assert all(torch.equal(p, value) for p, (value, _) in zip(model.parameters(), before, strict=True))
    assert [p._version == version for p, (_, version) in zip(model.parameters(), before, strict=True)] == [True] * 4 + [
        False
    ] * 2
