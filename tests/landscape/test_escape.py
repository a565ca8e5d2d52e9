"""The component along negative curvature: Theorem 2 of Rangwani 2022 as an identity, and each method's component."""

import copy
import math

import pytest
import torch
from torch import nn

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.escape import Escape, escape_tables, measure_escape
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.sharpness import LPFSGD, PGD, SAM, SSESAM, ImbSAM, Linear, NoPerturbation, SAMExt
from tests.landscape.conftest import CE, chunks, make_images, make_network

COUNTS = [60, 30, 9, 4]
ETA = 10
EIGENVALUES = torch.tensor([4.0, 0.5, -0.5, -8.0], dtype=torch.float64)
MODES = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
HESSIAN = MODES @ EIGENVALUES.diag() @ MODES.T


class Quadratic(nn.Module):
    """loss_i = w'Hw / 2 + <image_i, w>: one Hessian, another gradient in each batch."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -1.0, 0.7, 0.2], dtype=torch.float64))

    def forward(self, images):
        return self.w @ HESSIAN @ self.w / 2 + images @ self.w

    def gradient(self, images):
        return HESSIAN @ self.w.detach() + images.mean(dim=0)


def values(losses, _):
    return losses


def tables(**perturbations):
    return escape_tables(perturbations, COUNTS, 10)


def quadratic_batches(count):
    images = torch.randn(count, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return [(batch, torch.tensor([0, 0, 1, 2, 3])) for batch in images]


@pytest.fixture(scope="module")
def lowest():
    """The lowest eigenpair of the whole loss's Hessian."""
    curvature = Curvature(make_network(), CE, [make_images()])
    run = Lanczos(curvature.product, torch.ones(curvature.size, dtype=torch.float64), curvature.size)
    while not (run.steps and (run.full or run.converged(1e-12))):
        run.step()
    pair = run.extremes()[0]
    assert pair.value < -0.01, "there is nothing to escape"
    return pair


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("radius_over_norm", [0.1, 0.3, 3.0, 6.0])
def test_sams_component_is_sgds_times_one_plus_rho_lambda(mode, radius_over_norm):
    """Both sides of lambda = -2 / rho * norm(g); also where SAM attenuates (0.1 for -8, 3 for -0.5)."""
    model, batch = Quadratic(), quadratic_batches(1)
    rho = radius_over_norm * float(model.gradient(batch[0][0]).norm())
    found = measure_escape(model, values, batch, tables(sgd=NoPerturbation(), sam=SAM(rho)), MODES[:, mode])
    change = radius_over_norm * float(EIGENVALUES[mode])
    assert found["sam"].mean_square == pytest.approx((1 + change) ** 2 * found["sgd"].mean_square, rel=1e-11)
    assert (found["sam"].mean_square < found["sgd"].mean_square) == (-2 < change < 0)


def test_means_are_taken_over_batches():
    """Each batch has its own factor 1 + rho * lambda / norm(g): the mean of products is no product of means."""
    model, batches, rho = Quadratic(), quadratic_batches(7), 0.6
    found = measure_escape(model, values, iter(batches), tables(sgd=NoPerturbation(), sam=SAM(rho)), MODES[:, 3])
    gradients = [model.gradient(images) for images, _ in batches]
    plain = torch.stack([MODES[:, 3] @ g for g in gradients])
    norms = torch.stack([g.norm() for g in gradients])
    climbed = torch.stack([(g + rho / g.norm() * HESSIAN @ g).norm() for g in gradients])
    component = (1 + rho * EIGENVALUES[3] / norms) * plain
    for method, components, lengths in (("sgd", plain, norms), ("sam", component, climbed)):
        expected = Escape(float(components.square().mean()), float(components.square().sum() / lengths.square().sum()))
        assert found[method].mean_square == pytest.approx(expected.mean_square, rel=1e-12)
        assert found[method].share == pytest.approx(expected.share, rel=1e-12)


def test_the_shares_of_a_basis_add_up_to_one():
    batches, sam = quadratic_batches(3), tables(sam=SAM(0.5))
    shares = [measure_escape(Quadratic(), values, batches, sam, mode)["sam"].share for mode in MODES.T]
    assert sum(shares) == pytest.approx(1, rel=1e-12)


def test_without_a_gradient_there_is_no_share():
    model = Quadratic()
    model.w.data.zero_()
    batch = [(torch.zeros(2, 4), torch.tensor([0, 3]))]
    assert measure_escape(model, values, batch, tables(sam=SAM(0.5)), MODES[:, 3]) == {"sam": Escape(0.0, 0.0)}


@pytest.mark.parametrize("train", [False, True])
def test_sgds_component_is_that_of_the_gradient(lowest, train):
    """Also of a model in training mode: BatchNorm's running statistics count, as in the Hessian."""
    model = make_network()
    gradient = Curvature(model, CE, [make_images()]).gradient()
    found = measure_escape(model.train(train), CE, [make_images()], tables(sgd=NoPerturbation()), lowest.vector)["sgd"]
    component = float(lowest.vector @ gradient)
    assert found.mean_square == pytest.approx(component**2, rel=1e-10)
    assert found.share == pytest.approx((component / float(gradient.norm())) ** 2, rel=1e-10)


def test_sams_component_on_a_network_to_first_order(lowest):
    norm = float(Curvature(make_network(), CE, [make_images()]).gradient().norm())
    off = []
    for rho in (1e-4, 1e-5):
        methods = tables(sgd=NoPerturbation(), sam=SAM(rho))
        found = measure_escape(make_network(), CE, [make_images()], methods, lowest.vector)
        ratio = math.sqrt(found["sam"].mean_square / found["sgd"].mean_square)
        off.append(abs((ratio - 1) * norm / rho - lowest.value))
    assert off[1] < 1e-3 * abs(lowest.value)
    assert off[1] == pytest.approx(off[0] / 10, rel=0.1), "the rest must be of second order"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rho_head", "rho_tail"), [(0.0, 0.3), (0.2, 0.3)])
def test_groups_climb_apart(lowest, rho_head, rho_tail, weighted):
    """Against gradients taken by hand: ImbSAM leaves the head's part alone, SSE-SAM moves it on its own."""
    images, labels = make_images()
    weights = torch.tensor([0.5, 1.0, 1.5, 4.0], dtype=torch.float64) if weighted else None
    counted = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights[labels]
    expected, tail = torch.zeros(len(lowest.vector), dtype=torch.float64), labels >= 2
    for own, rho in ((~tail, rho_head), (tail, rho_tail)):
        model = make_network()
        curvature = Curvature(model, CE, [(images[own], labels[own])], weights)
        g = curvature.gradient()
        with torch.no_grad():
            for parameter, piece in zip(model.parameters(), curvature.split(rho * g / g.norm()), strict=True):
                parameter += piece
        expected += curvature.gradient() * float(counted[own].sum() / counted.sum())
    method = SSESAM(ETA, rho_head, rho_tail, gamma=1) if rho_head else ImbSAM(ETA, rho_tail)
    found = measure_escape(make_network(), CE, [(images, labels)], tables(method=method), lowest.vector, weights)
    assert found["method"].mean_square == pytest.approx(float(lowest.vector @ expected) ** 2, rel=1e-9)
    assert found["method"].share == pytest.approx(float(lowest.vector @ expected / expected.norm()) ** 2, rel=1e-9)


def test_on_head_images_alone_imbsam_is_sgd_and_ssesam_is_not(lowest):
    images, labels = make_images()
    head = labels < 2
    methods = tables(sgd=NoPerturbation(), imbsam=ImbSAM(ETA, 0.3), ssesam=SSESAM(ETA, 0.3, 0.3, gamma=0.5))
    found = measure_escape(make_network(), CE, [(images[head], labels[head])], methods, lowest.vector)
    assert found["imbsam"] == found["sgd"] == found["ssesam last epoch"]
    assert found["ssesam first epoch"] != found["sgd"]


def test_ssesam_with_a_head_that_stays_is_imbsam(lowest):
    methods = tables(
        imbsam=ImbSAM(ETA, 0.3),
        still=SSESAM(ETA, 0.0, 0.3, gamma=0.5),
        ssesam=SSESAM(ETA, 0.2, 0.3, gamma=0.5),
    )
    found = measure_escape(make_network(), CE, chunks(5, *make_images()), methods, lowest.vector)
    assert found["still"] == found["ssesam last epoch"] == found["imbsam"] != found["ssesam first epoch"]


def test_frozen_and_unused_parameters(lowest):
    """A frozen one has no place in the direction, one that the loss does not use has zeros."""

    class More(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
            self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
            self.network = make_network()

        def forward(self, images):
            return self.network(images)

    longer = torch.cat([torch.zeros(2, dtype=torch.float64), lowest.vector])
    sam = tables(sam=SAM(0.3))
    plain = measure_escape(make_network(), CE, [make_images()], sam, lowest.vector)["sam"]
    found = measure_escape(More(), CE, [make_images()], sam, longer)["sam"]
    assert found.mean_square == pytest.approx(plain.mean_square, rel=1e-12)


def test_everything_comes_in_the_models_precision(lowest):
    images, labels = make_images()
    images, weights = images.float(), torch.tensor([0.5, 1.0, 1.5, 4.0])
    methods = tables(imbsam=ImbSAM(ETA, 0.3))
    vector = lowest.vector.float() / lowest.vector.float().norm()
    exact = measure_escape(make_network(), CE, [(images.double(), labels)], methods, vector.double(), weights.double())[
        "imbsam"
    ]
    assert measure_escape(make_network(), CE, [(images, labels)], methods, vector, weights)["imbsam"] == exact


class Failing:
    """A criterion that fails at one of its calls, from 1."""

    def __init__(self, at):
        self.left = at

    def __call__(self, logits, labels):
        self.left -= 1
        if not self.left:
            raise OSError("no space")
        return CE(logits, labels)


@pytest.mark.parametrize("fails_at", [None, 1, 2, 3, 5])
def test_the_model_is_as_before_whatever_fails(lowest, fails_at):
    """Call 2 is that of SAM's pass at w, 3 the one away from it, 5 the first of the second batch."""
    model = make_network().train()
    model[4].eval()  # a layer that somebody froze
    for k, parameter in enumerate(model.parameters()):
        parameter.grad = None if k == 2 else torch.full_like(parameter, k)
    state, gradients = copy.deepcopy(model.state_dict()), [p.grad for p in model.parameters()]
    pointers = [p.data_ptr() for p in model.parameters()]
    kept = [None if g is None else g.clone() for g in gradients]
    modes = [module.training for module in model.modules()]
    methods = tables(sgd=NoPerturbation(), sam=SAM(0.3), imbsam=ImbSAM(ETA, 0.3))
    arguments = chunks(7, *make_images()), methods, lowest.vector
    if fails_at is None:
        measure_escape(model, CE, *arguments)
    else:
        with pytest.raises(OSError, match="no space"):
            measure_escape(model, Failing(fails_at), *arguments)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == pointers
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(g is k or torch.equal(g, k) for g, k in zip(gradients, kept, strict=True))
    assert [module.training for module in model.modules()] == modes


def test_a_table_a_perturbation_and_two_where_the_training_changes_it():
    found = tables(
        sgd=NoPerturbation(),
        sam=SAM(0.1),
        imbsam=ImbSAM(ETA, 0.1),
        ssesam=SSESAM(ETA, 0.05, 0.1, gamma=0.7),
        always=SSESAM(ETA, 0.05, 0.1, gamma=1),
        growing=SAM(Linear(0.1, 0.5)),
        samext=SAMExt(ETA, 0.05, 0.1),
    )
    assert {name: table.radii for name, table in found.items()} == {
        "sgd": (0.0,),
        "sam": (0.1,),
        "imbsam": (0.0, 0.1),
        "ssesam first epoch": (0.05, 0.1),
        "ssesam last epoch": (0.0, 0.1),
        "always": (0.05, 0.1),
        "growing first epoch": (0.1,),
        "growing last epoch": (0.5,),
        "samext": (0.05, 0.1),
    }
    with pytest.raises(InputError, match=r"^epochs must be at least 1, not 0"):
        escape_tables({"sam": SAM(0.1)}, COUNTS, 0)


@pytest.mark.parametrize("method", [PGD(0.1), LPFSGD(0.1, parts=2)])
def test_noise_is_refused(lowest, method):
    with pytest.raises(InputError, match=r"^noisy uses (isotropic|filter) noise, .*; leave it out$"):
        measure_escape(make_network(), CE, [make_images()], tables(sam=SAM(0.1), noisy=method), lowest.vector)


def test_what_does_not_fit_is_refused(lowest):
    def measure(model=None, batches=None, vector=lowest.vector):
        measure_escape(model or make_network(), CE, batches or [], tables(sam=SAM(0.1)), vector)

    with pytest.raises(
        InputError, match=r"^the direction must be \(98,\), one entry per .*, not \(97,\); take it from the Hessian"
    ):
        measure(vector=lowest.vector[1:])
    for wrong, said in ((2 * lowest.vector, "2"), (lowest.vector * torch.nan, "nan")):
        with pytest.raises(InputError, match=f"^the direction must have norm 1, not {said}; divide it"):
            measure(vector=wrong)
    with pytest.raises(InputError, match=r"^there are no batches; pass at least one$"):
        measure()
    with pytest.raises(InputError, match=r"^the model has no trainable parameter, .*; set requires_grad$"):
        measure(make_network().requires_grad_(False))
    diverged = make_network()
    diverged[0].weight.data.fill_(torch.nan)
    with pytest.raises(InputError, match=r"^a gradient of sam is not finite: .*; use earlier ones$"):
        measure(diverged, [make_images()])
