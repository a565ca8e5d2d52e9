"""What test_processes.py launches through torchrun: every method in two processes, the findings written as JSON."""

import json
import os
import runpy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ltzoo.losses import LossModule
from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, make_network, step

WEIGHTS = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)
CASES = {name: METHODS[name] for name in METHODS if name not in ("samext", "ssesam stage 2")} | {"pgd": NOISE["pgd"]}
"""One method of each kind: those left out differ in their radii alone."""
CUTS = {"even": 6, "uneven": 7, "tail in one alone": 8}
"""Where twelve images, the last four of them of tail classes, are cut in two."""


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(12, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 2, 3, 2, 3])


def gradient(model, images, targets, name, **options) -> torch.Tensor:
    """Loss and gradient in one vector, BatchNorm in evaluation mode."""
    model.zero_grad()
    model[1].eval()
    if name == "pgd":
        options |= {"batchnorm": "all", "generator": torch.Generator().manual_seed(2)}
    loss = step(model, CE, images, targets, CASES[name].table(COUNTS), **options)
    return torch.cat([loss.reshape(1), *(p.grad.flatten() for p in model.parameters() if p.grad is not None)])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def same_everywhere(tensor: torch.Tensor) -> bool:
    others = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(others, tensor)
    return all(torch.equal(tensor, other) for other in others)


def averaged(rank: int, world: dist.ProcessGroup) -> dict[str, float]:
    """Distance of two processes' gradient from that of one process with all the images."""
    images, targets = batch()
    return compare(rank, world, images, targets, None)


def mixed(rank: int, world: dist.ProcessGroup) -> dict[str, float]:
    """As `averaged`, with three labels per image: the tail's are no longer in one process alone."""
    images, targets = batch()
    labels = torch.stack([targets, targets.roll(1), targets.flip(0)], dim=1)
    share = torch.rand(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    share[:4] *= 0  # images that count nothing
    return compare(rank, world, images, labels, share)


def compare(rank, world, images, labels, share) -> dict[str, float]:
    """Distance of two processes' gradient from one process's, for each method, cut, weighting and accumulation."""
    found = {}
    for name in CASES:
        for weighted, weights in (("plain", None), ("weighted", WEIGHTS)):
            options = {"class_weights": weights, "target_weights": share}
            one = gradient(make_network(), images, labels, name, **options)
            for cut, at in CUTS.items():
                mine = slice(0, at) if rank == 0 else slice(at, 12)
                options |= {"target_weights": None if share is None else share[mine], "process_group": world}
                for pieces in (1, 2):
                    two = gradient(make_network(), images[mine], labels[mine], name, micro_batches=pieces, **options)
                    found[f"{name}, {cut}, {weighted}, {pieces}"] = distance(one, two)
    return found


def local(rank: int, world: dist.ProcessGroup) -> dict[str, float]:
    """Distance of the gradient from the mean of the shards' own, each as of a process of its own.

    With "micro_batch", the shards are the processes' micro-batches.
    """
    images, targets = batch()
    found = {}
    for name in (name for name in CASES if name != "imbsam by group"):
        for cut, at in CUTS.items():
            for weighted, weights in (("plain", None), ("weighted", WEIGHTS)):
                for ascent, pieces in (("local", 1), ("micro_batch", 2)):
                    if name == "pgd" and ascent == "micro_batch":
                        continue  # noise has no ascent
                    processes = [range(at), range(at, 12)]
                    shards = [part for own in processes for part in torch.tensor(own).tensor_split(pieces)]
                    alone = [
                        gradient(make_network(), images[part], targets[part], name, class_weights=weights)
                        for part in shards
                    ]
                    counted = torch.ones(12, dtype=torch.float64) if weights is None else weights[targets]
                    expected = sum(
                        a * counted[part].sum() / counted.sum() for a, part in zip(alone, shards, strict=True)
                    )
                    options = {"class_weights": weights, "micro_batches": pieces, "ascent": ascent}
                    mine = torch.tensor(processes[rank])
                    two = gradient(make_network(), images[mine], targets[mine], name, process_group=world, **options)
                    found[f"{name}, {cut}, {weighted}, {ascent}"] = distance(expected, two)
    return found


def trained(rank: int, world: dist.ProcessGroup) -> dict[str, bool]:
    """Whether three steps with momentum, BatchNorm in train mode, end bit-equal in both; and the same through DDP."""
    images, targets = batch()
    mine = slice(0, 7) if rank == 0 else slice(7, 12)
    found = {}
    for name, method in CASES.items():
        for ascent in ("averaged", "local", "micro_batch"):
            ends = []
            for wrapped in (False, True):
                model = make_network()
                passed = DistributedDataParallel(model) if wrapped else model
                optimizer = torch.optim.SGD(passed.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
                for turn in range(3):
                    options = {"ascent": ascent, "micro_batches": 2 if ascent == "micro_batch" else 1}
                    if not wrapped:
                        options["process_group"] = world
                    if name == "pgd":
                        seed = torch.Generator().manual_seed(turn if ascent == "averaged" else 10 * turn + rank)
                        options |= {"batchnorm": "all", "generator": seed}
                    table = method.table(COUNTS)
                    step(passed, CE, images[mine], targets[mine], table, **options)
                    optimizer.step()
                    optimizer.zero_grad()
                ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
            found[f"{name}, {ascent}"] = torch.equal(*ends) and same_everywhere(ends[0])
    return found


def unused(rank: int, world: dist.ProcessGroup) -> dict[str, bool]:
    """Whether a parameter that one process alone uses gets its gradient in both, and one that none uses gets none."""
    images, targets = batch()
    model = make_network()
    model.sometimes, model.never = (nn.Parameter(torch.zeros(4, dtype=torch.float64)) for _ in range(2))

    def forward(x):
        logits = model[:5](x)
        return logits + model.sometimes if rank == 1 else logits

    for name in ("sgd", "sam"):
        table = CASES[name].table(COUNTS)
        step(model, CE, images[rank::2], targets[rank::2], table, forward=forward, process_group=world)
    gradient = model.sometimes.grad
    return {
        "used in one": gradient is not None and bool(gradient.abs().sum() > 0) and same_everywhere(gradient),
        "used in none": model.never.grad is None,
    }


def overflow(rank: int, world: dist.ProcessGroup) -> dict[str, bool]:
    """Whether an overflow in the second process alone costs both the step and nothing else."""
    images, targets = (tensor[rank::2] for tensor in batch())
    model, scaler = make_network().float(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    table = CASES["ssesam stage 1"].table(COUNTS)
    bad = float("inf") if rank == 1 else 1.0
    forward = lambda x: model(x) * bad  # noqa: E731
    options = {"forward": forward, "scaler": scaler, "process_group": world}
    step(model, CE, images.float(), targets, table, **options)
    scaler.step(optimizer)
    scaler.update()
    same = all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    return {"state": same, "scale": scaler.get_scale() == 512.0}


def calls(rank: int, world: dist.ProcessGroup) -> dict[str, int]:
    """Number of collective calls a step."""
    images, targets = (tensor[rank::2] for tensor in batch())
    found = {}
    once = dist.all_reduce
    for ascent in ("averaged", "local"):
        for name in CASES:
            counted = []
            dist.all_reduce = lambda *a, counted=counted, **k: (counted.append(1), once(*a, **k))[1]
            gradient(make_network(), images, targets, name, process_group=world, ascent=ascent)
            found[f"{name}, {ascent}"] = len(counted)
    dist.all_reduce = once
    return found


class Stateful(LossModule):
    """Cross-entropy as a loss that could keep a state."""

    def forward(self, outputs, targets):
        return CE(outputs, targets)


def refused(rank: int, world: dist.ProcessGroup) -> dict[str, str]:
    """The messages about models and options that cannot be used."""
    from torch.distributed.fsdp import fully_shard

    sharded = make_network()
    fully_shard(sharded, mesh=dist.init_device_mesh("cpu", (dist.get_world_size(),)))
    compiled = torch.compile(DistributedDataParallel(make_network()), backend="eager")
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(make_network())
    noise = {"batchnorm": "all", "process_group": world}
    cases = {
        "FSDP": (sharded, "sam", {}),
        "DDP within": (compiled, "sam", {}),
        "noise": (make_network(), "pgd", noise),
        "SyncBatchNorm": (synced, "sam", {"process_group": world, "micro_batches": 13}),
        "one process": (make_network(), "sam", {"process_group": world}),
    }
    said = {}
    for case, (model, name, options) in cases.items():
        criterion = Stateful() if case == "one process" else CE
        criterion.single_process = case == "one process"
        try:
            step(model, criterion, *batch(), CASES[name].table(COUNTS), **options)
        except ValueError as error:
            said[case] = str(error)
    return said


def documented(folder: Path) -> dict[str, bool]:
    """Whether docs/sharpness.md's example of several processes runs, with the same loss in both."""
    end, dist.destroy_process_group = dist.destroy_process_group, lambda: None  # the other parts need the processes
    sys.path.insert(0, str(folder))
    loss = runpy.run_path(str(folder / "several.py"))["loss"]
    dist.destroy_process_group = end
    return {"finite": bool(loss.isfinite()), "same": same_everywhere(loss)}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found = {"documented": documented(folder)}
    rank, world = int(os.environ["RANK"]), dist.group.WORLD
    for part in (averaged, mixed, local, trained, unused, overflow, calls, refused):
        found[part.__name__] = part(rank, world)
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
