"""What test_processes.py launches through torchrun: contrastive losses in two processes, findings written as JSON."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from ltzoo.losses.gathering import gather
from ltzoo.sharpness import SAM, NoPerturbation, StepOptions, perturbed_backward
from tests.losses.contrastive import (
    TARGETS,
    copies,
    forward_of,
    make_criterion,
    make_images,
    make_network,
    make_outputs,
)
from tests.losses.plain import COUNTS

CUTS = {"even": 3, "uneven": 4, "one image": 1}
"""Where six images are cut in two."""
WEIGHTS = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def share(rank: int, at: int) -> slice:
    return slice(0, at) if rank == 0 else slice(at, 6)


def gathered(rank: int, world: dist.ProcessGroup) -> dict[str, float]:
    """Distance of what is gathered, and of its gradient, from what it is made of."""
    found = {}
    whole = make_outputs("bcl").features
    for cut, at in CUTS.items():
        mine = share(rank, at)
        rows = whole[mine].detach().requires_grad_()
        everything, labels, own = gather(rows, TARGETS[mine])
        found[f"{cut}, rows"] = distance(everything, whole)
        found[f"{cut}, labels"] = distance(labels, TARGETS)
        found[f"{cut}, own"] = abs(own.start - mine.start) + abs(own.stop - mine.stop)
        # Process r weighs each row by 1 + r, so that a row's gradient is 3 from both.
        ((1 + rank) * everything).sum().backward()
        found[f"{cut}, gradient"] = distance(rows.grad, torch.full_like(rows, 3))
    return found


def step(name, method, images, targets, group):
    """Loss and gradients of two steps, and the loss's state after them; BatchNorm of the model in evaluation mode."""
    model = make_network().eval()
    criterion = make_criterion(name, model)
    criterion.begin(0)
    options = StepOptions(forward=forward_of(name, model), process_group=group)
    found = []
    for _ in range(2):
        table = method.table(torch.tensor(COUNTS))
        loss = perturbed_backward(model, criterion, images, targets, table, WEIGHTS, options)
        found += [loss.reshape(1), *(p.grad.flatten() for p in (*model.parameters(), *criterion.parameters()))]
    return torch.cat(found), copies(criterion)


def losses(rank: int, world: dist.ProcessGroup) -> dict[str, float]:
    """Distance of two processes from one with all the images: loss, gradients, state."""
    found = {}
    for name in ("bcl", "proco"):
        images = make_images(name)
        for method in (NoPerturbation(), SAM(rho=0.5)):
            one, state = alone(name, method, images)
            for cut, at in CUTS.items():
                mine = share(rank, at)
                two, both = step(name, method, images[mine], TARGETS[mine], world)
                found[f"{name}, {method.name}, {cut}, gradient"] = distance(one, two)
                apart = max(distance(state[key].double(), both[key].double()) for key in state)
                found[f"{name}, {method.name}, {cut}, state"] = apart
    return found


def alone(name, method, images):
    """The step of one process with all the images: both do it, without each other."""
    initialized, dist.is_initialized = dist.is_initialized, lambda: False
    try:
        return step(name, method, images, TARGETS, None)
    finally:
        dist.is_initialized = initialized


def states(rank: int, world: dist.ProcessGroup) -> dict[str, bool]:
    """Whether both processes end with the same statistics, bit for bit."""
    images, mine = make_images("proco"), share(rank, 4)
    _, state = step("proco", SAM(rho=0.5), images[mine], TARGETS[mine], world)
    found = {}
    for key, value in state.items():
        others = [torch.empty_like(value) for _ in range(2)]
        dist.all_gather(others, value.contiguous())
        found[key] = torch.equal(*others)
    return found


def refused(rank: int, world: dist.ProcessGroup) -> str:
    """What PaCo says."""
    try:
        step("paco", NoPerturbation(), make_images("paco"), TARGETS, world)
    except ValueError as error:
        return str(error)
    return ""


def of_some(rank: int, world: dist.ProcessGroup) -> dict[str, str]:
    """What losses that gather from all processes say to a group of one, and to none."""
    groups = [dist.new_group([0]), dist.new_group([1])]
    found = {}
    for name in ("bcl", "proco"):
        for words, group in (("group of one", groups[rank]), ("no group", None)):
            try:
                step(name, NoPerturbation(), make_images(name), TARGETS, group)
                found[f"{name}, {words}"] = ""
            except ValueError as error:
                found[f"{name}, {words}"] = str(error)
    return found


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = int(os.environ["RANK"]), dist.group.WORLD
    found = {part.__name__: part(rank, world) for part in (gathered, losses, states, refused, of_some)}
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
