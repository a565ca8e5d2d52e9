"""Stream, memory pool and random states of each run."""

import gc

import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.train import run_resources
from ltzoo.train.run_resources import STREAMS, RunResources

CPU = torch.device("cpu")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def draws(device: torch.device, turns: list[tuple[RunResources, int]]) -> dict[RunResources, list[float]]:
    """Seed and draw in turns; what each run drew."""
    found: dict[RunResources, list[float]] = {}
    for one, seed in turns:
        with one.in_use():
            if one not in found:
                torch.manual_seed(seed)
            found.setdefault(one, []).append(float(torch.rand((), device=device)))
    return found


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_runs_in_turns_draw_what_each_draws_alone(device):
    device = torch.device(device)
    a, b, alone, reference = (RunResources(device) for _ in range(4))
    found = draws(device, [(a, 1), (b, 2), (a, 1), (b, 2), (a, 1)])
    assert found[a] == draws(device, [(alone, 1)] * 3)[alone]
    assert found[b] == draws(device, [(reference, 2)] * 2)[reference]
    assert not set(found[a]) & set(found[b])


def test_what_is_drawn_outside_is_as_if_there_were_no_run():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = torch.rand(1)
    with RunResources(CPU).in_use():
        torch.manual_seed(1)
        torch.rand(10)
    assert torch.equal(torch.cat([first, torch.rand(2)]), expected)


def test_after_an_error_the_random_state_is_kept():
    one, reference = RunResources(CPU), RunResources(CPU)
    with pytest.raises(RuntimeError), one.in_use():
        torch.manual_seed(3)
        torch.rand(1)
        raise RuntimeError
    with reference.in_use():
        torch.manual_seed(3)
        torch.rand(1)
        expected = torch.rand(1)
    with one.in_use():
        assert torch.equal(torch.rand(1), expected)


class Pool:
    """Streams as torch gives them out: 32, one after the other, and then the first again."""

    def __init__(self):
        self.given = 0

    def __call__(self, device: torch.device) -> int:
        self.given += 1
        return 100 + (self.given - 1) % STREAMS


class OnGPU:
    """As much of a run as the choice of a stream looks at."""

    def __init__(self, stream: int) -> None:
        self.stream = stream


def test_no_two_runs_have_one_stream_also_when_torch_gives_it_out_again(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", Pool())
    held: list[OnGPU] = []
    monkeypatch.setattr(run_resources, "_living", held)
    device = torch.device("cuda")
    for _ in range(20):  # streams that others take and leave, such as a loader's
        torch.cuda.Stream(device)
    while len(held) < STREAMS:
        held.append(OnGPU(run_resources._free_stream(device)))
    assert len({one.stream for one in held}) == STREAMS
    with pytest.raises(InputError, match="32 streams per device, and each belongs to a run; train fewer side by side"):
        run_resources._free_stream(device)
    ended = held.pop(7)
    assert run_resources._free_stream(device) == ended.stream


@NEEDS_CUDA
def test_living_runs_have_streams_of_their_own_on_the_device():
    device = torch.device("cuda")
    living = [RunResources(device)]
    for _ in range(8):
        for _ in range(40):
            torch.cuda.Stream()
        living.append(RunResources(device))
    assert len({one.stream.cuda_stream for one in living}) == len({one.pool for one in living}) == 9
    del living
    gc.collect()


@NEEDS_CUDA
def test_graphs_of_two_runs_draw_dropout_apart():
    """Each replay reads seed and offset of the state with which it was captured."""
    device = torch.device("cuda")

    def captured(one: RunResources, seed: int):
        out = torch.empty(1000, device=device)
        with one.in_use():
            torch.manual_seed(seed)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=one.pool, stream=one.stream, capture_error_mode="thread_local"):
                out.copy_(torch.nn.functional.dropout(torch.ones(1000, device=device), 0.5))
            torch.manual_seed(seed)
        return graph, out

    def replay(one: RunResources, graph, out) -> torch.Tensor:
        with one.in_use():
            graph.replay()
            return out.clone()

    a, b, alone = RunResources(device), RunResources(device), RunResources(device)
    of_a, of_b, of_alone = captured(a, 1), captured(b, 2), captured(alone, 1)
    turns = [(replay(a, *of_a), replay(b, *of_b)) for _ in range(3)]
    for from_a, from_b in turns:
        assert torch.equal(from_a, replay(alone, *of_alone))
        assert not torch.equal(from_a, from_b)
