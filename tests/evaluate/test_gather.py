"""Results of two and of three processes, gathered with gloo: every image once and in order, for any shape and type."""

import json

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from ltzoo.data.batches import EvalBatches
from ltzoo.data.memory import LabelledImages, load_test
from ltzoo.evaluate import class_accuracy, gather, predict, predict_classes
from tests.evaluate.conftest import DIGITS

PROCESSES = (2, 3)


def images(count):
    """The same first digits and linear model in every process."""
    torch.manual_seed(0)
    test = load_test(DIGITS, None)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), LabelledImages(test.images[:count], test.labels[:count])


def batches(test, begin=0, step=1):
    return EvalBatches(LabelledImages(test.images[begin::step], test.labels[begin::step]), DIGITS.data_set, 64)


def compare_with_one_process(rank, world):
    """For each number of images: whether the gathered predictions equal those of one process."""
    found = {}
    for count in (0, 1, 2, 3, 5, 400):
        model, test = images(count)
        alone = predict_classes(model, batches(test))
        together = [gather(share) for share in predict_classes(model, batches(test, rank, world))]
        same = [torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(alone, together, strict=True)]
        found[str(count)] = len(alone[0]) == count and all(same)
    model, test = images(400)
    whole = [gather(share) for share in predict_classes(model, batches(test, rank, world))]
    found["accuracy"] = class_accuracy(*whole) == class_accuracy(*predict_classes(model, batches(test)))
    return found


def kinds(rank, world):
    """For each dtype and shape, views included: whether gathering restores the tensor."""
    rows = torch.arange(7 * 2 * 3).reshape(7, 2, 3)
    model, test = images(20)
    logits = predict(model, batches(test)).logits
    found = {
        str(kind): torch.equal(gather(rows.to(kind)[rank::world]), rows.to(kind))
        for kind in (torch.int64, torch.bool, torch.bfloat16, torch.float64)
    }
    found["logits"] = torch.equal(gather(logits[rank::world].requires_grad_()), logits)
    # A process without an image does not know how wide the others' rows are.
    one = gather(rows[:1] if rank == 0 else torch.empty(0, dtype=torch.int64))
    found["one row"] = torch.equal(one, rows[:1])
    return found


def refused(rank, world):
    """The error for shares that do not interleave: the last process has too many images."""
    try:
        gather(torch.zeros(4 if rank == world - 1 else 2))
    except ValueError as error:
        return str(error)
    return None


def work(rank, folder):
    """Run all parts in two processes, then in three; the third only joins the second time."""
    torch.set_num_threads(1)
    for world in PROCESSES:
        if rank < world:
            options = {"init_method": f"file://{folder}/{world}", "rank": rank, "world_size": world}
            dist.init_process_group("gloo", **options)
            found = [part(rank, world) for part in (compare_with_one_process, kinds, refused)]
            (folder / f"{rank} of {world}.json").write_text(json.dumps(found))
            dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The results of each process, by the number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    # Forked as DataLoader's workers are: nothing is imported again.
    torch.multiprocessing.start_processes(work, (folder,), nprocs=max(PROCESSES), start_method="fork")
    return {
        world: [json.loads((folder / f"{rank} of {world}.json").read_text()) for rank in range(world)]
        for world in PROCESSES
    }


@pytest.mark.parametrize("world", PROCESSES)
def test_gathered_predictions_equal_those_of_one_process(found, world):
    for together, _, _ in found[world]:
        assert together == dict.fromkeys(("0", "1", "2", "3", "5", "400", "accuracy"), True)


@pytest.mark.parametrize("world", PROCESSES)
def test_every_shape_and_type_is_gathered(found, world):
    for _, kinds, _ in found[world]:
        assert [kind for kind, same in kinds.items() if not same] == []
        assert len(kinds) == 6


@pytest.mark.parametrize(("world", "lengths"), [(2, "[2, 4]"), (3, "[2, 2, 4]")])
def test_shares_that_do_not_interleave_raise_in_every_process(found, world, lengths):
    for _, _, said in found[world]:
        assert said.startswith(f"the processes have {lengths} images;")


def test_without_a_group_the_tensor_is_returned():
    share = torch.arange(3)
    assert gather(share) is share


def test_in_a_group_of_one_the_tensor_is_returned(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    try:
        share = torch.arange(3)
        assert gather(share) is share
    finally:
        dist.destroy_process_group()
