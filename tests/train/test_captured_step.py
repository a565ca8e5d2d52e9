"""The captured step against the eager one, and when a step is not captured."""

import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from ltzoo.errors import InputError
from ltzoo.losses import BCL, RIDE, InfluenceBalanced
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import cuda_graph
from ltzoo.train.cuda_graph import CapturedStep, CaptureError, why_not_captured
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step
from tests.train.steps import COUNTS, SGD, batches, make, weights

CPU = torch.device("cpu")
CUDA = torch.device("cuda") if torch.cuda.is_available() else None


RECIPES = {
    "sgd": SGD.with_epochs(3),
    "ssesam": get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(3),
    # Radius and class weights change from epoch to epoch within one recording.
    "linear radius, drw": override(
        get_recipe("resnet20_digitslt_ce_sam").with_epochs(3),
        {
            "perturbation.rho": {"name": "linear", "start": 0.02, "end": 0.1},
            "reweighting": {"name": "drw", "start": 1, "beta": 0.99},
        },
    ),
    "average and clipping": override(
        get_recipe("resnet20_digitslt_ce_imbsam").with_epochs(3), {"ema_decay": 0.9, "optimizer.clip_grad": 1.0}
    ),
}


def train_both(name: str, device: str) -> tuple[Step, CapturedStep]:
    """Train three epochs eagerly and captured."""
    # Powers of two are the same number in float32, as which the device keeps the learning rate: perturbed steps on
    # labels that mean nothing would blow up the last bit.
    exact = {
        "optimizer.lr": 2**-10,
        "schedule.milestones": [1],
        "schedule.factors": [0.25],
        "schedule.warmup_epochs": 0,
    }
    recipe = override(RECIPES[name], exact)
    eager = make(recipe, device=device)
    captured = make(recipe, CapturedStep, device=device, resources=RunResources(torch.device(device)))
    for step in (eager, captured):
        for epoch in range(3):
            step.begin(epoch)
            for batch in batches(6 if device == "cpu" else 17, device=device):
                step(*batch)
    return eager, captured


@pytest.mark.parametrize("name", RECIPES)
def test_memory_that_is_written_in_place_gives_the_eager_weights(monkeypatch, name):
    """All of the captured step but the device's recording, whose place the function itself takes here."""

    def record(step, warm_up, resources):
        for _ in range(warm_up):
            step()
        loss = torch.zeros(())
        return loss, lambda: loss.copy_(step())

    monkeypatch.setattr(cuda_graph, "record", record)
    eager, captured = train_both(name, "cpu")
    assert torch.equal(weights(captured), weights(eager))
    assert len(captured.recorded) == 2  # in the last stage: one for whole batches, one for the smaller one


@pytest.mark.skipif(CUDA is None, reason="needs a CUDA device")
@pytest.mark.parametrize("kind", [Step, CapturedStep])
def test_an_epoch_never_waits_for_the_device(kind):
    step = make(
        RECIPES["ssesam"], kind, device="cuda", **({"resources": RunResources(CUDA)} if kind is CapturedStep else {})
    )
    made = batches(8, device="cuda")
    for batch in made:  # recordings are made here
        step(*batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in made:
            step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(CUDA is None, reason="needs a CUDA device")
@pytest.mark.parametrize("name", RECIPES)
def test_fifty_captured_steps_give_the_eager_weights(name):
    eager, captured = train_both(name, "cuda")
    torch.testing.assert_close(weights(captured), weights(eager), rtol=1e-3, atol=1e-4)


class FailingEnd:
    """A graph of torch's whose capture fails, and then its end, as `torch.cuda.graph` behaves.

    `__exit__` calls `capture_end`, which raises another error than the step has raised, and the stream stays entered
    (torch/cuda/graphs.py). The errors are torch's own.
    """

    def __init__(self, graph, pool, stream, capture_error_mode):
        self.given = pool, stream, capture_error_mode

    def __enter__(self):
        pass

    def __exit__(self, *found):
        raise torch.AcceleratorError(
            "CUDA error: operation failed due to a previous error during capture\n"
            "Search for `cudaErrorStreamCaptureInvalidated' in NVIDIA's documentation for more information."
        )


class NoStream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def failing_capture(monkeypatch):
    """CUDA as far as `record` uses it; the resources that it records on."""
    monkeypatch.setattr(torch.cuda, "graph", FailingEnd)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: NoStream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    resources = RunResources(CPU)
    resources.stream = NoStream()
    return resources


def test_a_capture_that_fails_is_named_by_what_came_first_and_nothing_is_computed_after_it(
    failing_capture, monkeypatch
):
    captured, calls = make(SGD, CapturedStep, resources=failing_capture), []

    def run(*arguments):
        calls.append(arguments)
        if len(calls) > 3:  # the warm-up succeeds
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand advice")
        return torch.zeros(())

    monkeypatch.setattr(captured, "run", run)
    monkeypatch.setattr(captured.optimizer, "zero_grad", lambda: pytest.fail("the device was used"))
    with pytest.raises(CaptureError, match=r"^CUDA error: operation not permitted when stream is capturing$") as caught:
        captured(*batches(2)[1])
    assert isinstance(caught.value.__cause__, torch.AcceleratorError)
    assert (len(calls), captured.recorded) == (4, {})


def test_a_warm_up_that_fails_is_no_failed_capture(failing_capture, monkeypatch):
    """The allocator is sound after it: the run ends alone."""
    captured = make(SGD, CapturedStep, resources=failing_capture)

    def run(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(captured, "run", run)
    with pytest.raises(torch.OutOfMemoryError):
        captured(*batches(2)[1])


@pytest.mark.skipif(CUDA is None, reason="needs a CUDA device")
def test_a_step_that_waits_for_the_device_cannot_be_captured_and_says_so():
    captured = make(SGD, CapturedStep, device="cuda", resources=RunResources(CUDA))
    sound = captured.forward

    def reads(images):
        logits = sound(images)
        float(logits.sum())
        return logits

    captured.forward = reads
    with pytest.raises(CaptureError, match="captur"):
        captured(*batches(2, device="cuda")[1])


def test_a_recording_keeps_alive_what_it_reads_and_is_dropped_with_its_stage(monkeypatch):
    """The device reads memory by its address; whether a tensor still has it, it does not ask."""
    read: list[weakref.ref] = []

    def record(step, warm_up, resources):
        read.append(weakref.ref(captured.table.rows[0].descent))
        return torch.zeros(()), lambda: None

    monkeypatch.setattr(cuda_graph, "record", record)
    captured = make(RECIPES["ssesam"], CapturedStep, resources=RunResources(CPU))
    for epoch in (0, 1):
        captured.begin(epoch)
        captured(*batches(2)[1])
        gc.collect()
        assert read[0]() is not None
    assert len(read) == 1
    captured.begin(2)
    gc.collect()
    assert read[0]() is not None  # the pool of graph memory lives as long as one of its graphs
    captured(*batches(2)[1])
    gc.collect()
    assert len(captured.recorded) == 1
    assert (read[0](), read[1]() is not None) == (None, True)


def test_too_many_batch_shapes_are_not_captured(monkeypatch):
    monkeypatch.setattr(cuda_graph, "record", lambda step, warm_up, resources: (step(), lambda: None))
    captured = make(SGD, CapturedStep, resources=RunResources(CPU))
    with pytest.raises(InputError, match=r"\(6, 1, 16, 16\) is one more; use batches of one size"):
        for size in (2, 3, 4, 5, 6):
            captured(torch.randn(size, 1, 16, 16), torch.zeros(size, dtype=torch.int64))


def test_the_reason_against_a_capture_is_named():
    accelerator = Accelerator(cpu=True)
    assert why_not_captured(SGD, COUNTS, accelerator) == "cpu has no CUDA graphs"
    accelerator.state.device = torch.device("cuda")
    assert why_not_captured(SGD, COUNTS, accelerator) is None
    noisy = get_recipe("resnet32_cifar100lt_ce_drw_pgd")
    assert why_not_captured(noisy, noisy.data.class_counts, accelerator) == "pgd draws new noise in each step"
    ib = InfluenceBalanced(start=1, factor=1000.0, epsilon=0.001, beta=1.0, gamma=0.0)
    ride = RIDE(max_margin=0.5, scale=30.0, diversity=0.2, spread=0.8, start=1, beta=0.99)
    bcl = BCL(temperature=0.1, scale=1.0, ce_weight=1.0, contrast_weight=1.0, hidden_size=4, projection_size=4)
    for loss, reason in ((ib, "changes over the epochs"), (ride, "changes over the epochs"), (bcl, "keeps a state")):
        recipe = SimpleNamespace(optimizer=SGD.optimizer, head=SGD.head, loss=loss)
        assert why_not_captured(recipe, COUNTS, accelerator, 5) == f"the loss {loss.name} {reason}"
    accelerator.scaler = torch.amp.GradScaler("cpu")
    assert why_not_captured(SGD, COUNTS, accelerator) == "float16 uses a loss scaler; bfloat16 does not"
