"""What the SAM optimizers of pytorch_optimizer get right and wrong: each entry of the table in docs/sharpness.md."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness import GSAM, SAM, AdaptiveMove, Row, Table
from tests.sharpness.methods import CE, COUNTS, make_network, step

peers = pytest.importorskip("pytorch_optimizer", reason="pip install pytorch_optimizer, the peer under test")
RHO, LR, ALPHA = 0.05, 0.1, 0.4
every_peer = pytest.mark.parametrize("name", ["SAM", "ASAM", "LookSAM", "GSAM"])
OURS = {"SAM": SAM(rho=RHO).table(COUNTS), "GSAM": GSAM(rho=RHO, alpha=ALPHA).table(COUNTS)}


class Constant:
    """GSAM's schedule of the radius."""

    def step(self):
        return RHO


def make_peer(name, model, lr=LR):
    if name == "GSAM":
        base = torch.optim.SGD(model.parameters(), lr=lr)
        return peers.GSAM(model.parameters(), base_optimizer=base, model=model, rho_scheduler=Constant(), alpha=ALPHA)
    kind = peers.LookSAM if name == "LookSAM" else peers.SAM
    return kind(model.parameters(), torch.optim.SGD, rho=RHO, adaptive=name == "ASAM", lr=lr)


def closure_of(model, optimizer, images, targets, pieces=1, clip=None, scaler=None):
    @torch.enable_grad()  # GSAM runs it without
    def closure():
        optimizer.zero_grad()
        for x, y in zip(images.chunk(pieces), targets.chunk(pieces), strict=True):
            loss = CE(model(x), y).sum() / len(targets)
            (loss if scaler is None else scaler.scale(loss)).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        return None, loss

    return closure


def take_step(name, optimizer, closure, between=lambda: None):
    """A step as the package documents it: GSAM runs the closure twice itself, the others once."""
    if name != "GSAM":
        closure()
    between()
    optimizer.step(closure)


def weights_after(name, batch, model=None, lr=LR, between=lambda model: None, around=None, **options):
    model = make_network() if model is None else model
    optimizer = make_peer(name, model, lr)
    closure = closure_of(model, optimizer, *batch, **options)
    if around is None:
        take_step(name, optimizer, closure, lambda: between(model))
    else:
        with around:
            take_step(name, optimizer, closure, lambda: between(model))
    return [p.detach().clone() for p in model.parameters()]


def weights_after_ours(table, batch, model=None, lr=LR):
    model = make_network() if model is None else model
    step(model, CE, *batch, table)
    torch.optim.SGD(model.parameters(), lr=lr).step()
    return [p.detach().clone() for p in model.parameters()]


def distance(a, b):
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", ["SAM", "LookSAM", "GSAM"])
def test_in_float64_without_anything_else_they_take_the_same_step(batches, name):
    """LookSAM's first step is SAM's."""
    table = OURS["SAM" if name == "LookSAM" else name]
    assert distance(weights_after(name, batches[0]), weights_after_ours(table, batches[0])) < 1e-9


def test_adaptive_has_no_eta_and_scales_biases_too(batches):
    table = Table([Row(torch.ones(4), torch.ones(4), RHO, move=AdaptiveMove(0))])

    def both(bias):
        def make():
            torch.manual_seed(0)
            return nn.Sequential(nn.Flatten(), nn.Linear(16, 8, bias), nn.ReLU(), nn.Linear(8, 4, bias)).double()

        return distance(weights_after("ASAM", batches[0], make()), weights_after_ours(table, batches[0], make()))

    assert both(bias=False) < 1e-10
    assert both(bias=True) > 1e-7


@every_peer
def test_autocast_around_the_step_hides_the_perturbation(batches, name):
    """The casts of the weights stay in autocast's cache, so that the second pass runs at w, too."""
    images, targets = batches[0]

    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 4, bias=False))

    half = torch.autocast("cpu", torch.bfloat16)
    found = weights_after(name, (images.float(), targets), model(), around=half)
    plain, reference = model(), model()
    with torch.autocast("cpu", torch.bfloat16):
        CE(plain(images.float()), targets).mean().backward()
    torch.optim.SGD(plain.parameters(), lr=LR).step()
    sgd = distance(found, [p.detach() for p in plain.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        moved = weights_after_ours(SAM(rho=0.5).table(COUNTS), (images.float(), targets), reference)
    assert sgd < 1e-7
    assert distance(moved, [p.detach() for p in plain.parameters()]) > 1e-5


@every_peer
def test_with_a_loss_scaler_the_step_is_on_the_scaled_gradient(batches, name):
    """The scaler unscales the gradient before the step, in which the closure computes another, scaled one."""
    model = make_network()
    optimizer, scaler = make_peer(name, model), torch.amp.GradScaler("cpu", init_scale=1024.0)
    closure = closure_of(model, optimizer, *batches[0], scaler=scaler)
    closure()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=closure)
    scaler.step(optimizer, closure)
    start = [p.detach() for p in make_network().parameters()]
    found = [p.detach() for p in model.parameters()]
    assert distance(found, start) > 1000 * distance(weights_after(name, batches[0]), start)


@every_peer
def test_accumulation_works_if_the_closure_runs_all_micro_batches(batches, name):
    """Each micro-batch's images enter both passes; BatchNorm is left out, which sees the parts."""

    def model():
        network = make_network()
        network[1].eval()
        return network

    whole = [weights_after(name, batches[0], model(), pieces=pieces) for pieces in (1, 4)]
    assert distance(*whole) < 1e-10
    # A closure of the last micro-batch alone, after backward passes of all, descends the last one's gradient.
    images, targets = batches[0]
    last = model()
    optimizer = make_peer(name, last)
    closure_of(last, optimizer, images, targets, pieces=4)()
    optimizer.step(closure_of(last, optimizer, images[9:], targets[9:]))
    assert distance([p.detach() for p in last.parameters()], whole[0]) > 1e-3


@pytest.mark.parametrize("name", ["SAM", "ASAM", "LookSAM"])
def test_clipping_before_the_step_has_no_effect(batches, name):
    """It clips the gradient that gives the direction alone; clipping within the closure works."""
    plain = weights_after(name, batches[0])
    before = weights_after(name, batches[0], between=lambda model: nn.utils.clip_grad_norm_(model.parameters(), 1e-3))
    within = weights_after(name, batches[0], clip=1e-3)
    start = [p.detach() for p in make_network().parameters()]
    assert distance(before, plain) < 1e-6
    assert distance(within, start) < LR * 1e-3 * 1.001 < distance(plain, start)


@pytest.mark.parametrize(("name", "moved"), [("SAM", 2), ("ASAM", 2), ("LookSAM", 2), ("GSAM", 1)])
def test_running_statistics_of_batchnorm(batches, name, moved):
    """GSAM's move once, and its count of batches twice."""
    model = make_network()
    weights_after(name, batches[0], model)
    assert model[1].num_batches_tracked == 2
    once = make_network()
    once(batches[0][0])
    same = torch.allclose(model[1].running_mean, once[1].running_mean, rtol=0, atol=1e-12)
    assert same == (moved == 1)


@pytest.mark.parametrize(("name", "kept"), [("SAM", True), ("ASAM", True), ("LookSAM", True), ("GSAM", False)])
def test_weights_after_a_step_of_learning_rate_0(batches, name, kept):
    """GSAM subtracts eps, which leaves rounding errors."""
    found = weights_after(name, batches[0], lr=0.0)
    assert all(torch.equal(a, b) for a, b in zip(found, make_network().parameters(), strict=True)) == kept


def test_gsam_runs_a_closure_without_gradients(batches):
    model = make_network()
    optimizer = make_peer("GSAM", model)
    with pytest.raises(RuntimeError, match="does not require grad"):
        optimizer.step(lambda: (None, CE(model(batches[0][0]), batches[0][1]).mean().backward()))


def test_look_sam_saves_no_pass(batches):
    """Its step runs the closure every time, after the loop has run it once."""
    model, passes = make_network(), []
    model[0].register_forward_hook(lambda *_: passes.append(1))
    optimizer = make_peer("LookSAM", model)
    for batch in batches[:10]:
        take_step("LookSAM", optimizer, closure_of(model, optimizer, *batch))
    assert len(passes) == 20


def _in_process(rank, store, images, targets, found):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    mine = slice(0, 6) if rank == 0 else slice(6, 12)
    for name in ("SAM", "GSAM"):
        inner = make_network()
        inner[1].eval()
        model = DistributedDataParallel(inner)
        optimizer = make_peer(name, model)
        take_step(name, optimizer, closure_of(model, optimizer, images[mine], targets[mine]))
        torch.save([p.detach() for p in inner.parameters()], f"{found}/{name}{rank}")
    dist.destroy_process_group()


def test_two_processes(batches, tmp_path):
    """With DistributedDataParallel SAM ascends the average, as one process would; GSAM each process's own gradient.

    Each process then subtracts its own eps from its weights, whose rounding makes them drift apart.
    """
    images, targets = batches[0]
    mp.spawn(_in_process, (str(tmp_path / "store"), images, targets, str(tmp_path)), nprocs=2)
    for name, as_one in (("SAM", True), ("GSAM", False)):
        model = make_network()
        model[1].eval()
        one = weights_after(name, batches[0], model)
        first, second = (torch.load(tmp_path / f"{name}{rank}") for rank in (0, 1))
        assert (distance(first, second) == 0) == as_one
        assert (distance(first, one) < 1e-10) == as_one
