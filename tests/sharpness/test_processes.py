"""Two processes through torchrun and gloo: every kind of method, and the documentation's example, in one launch."""

import json
from pathlib import Path

import pytest

from tests.launch import launch_two
from tests.test_docs_sharpness import FEW_IMAGES, SEVERAL


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    output = tmp_path_factory.mktemp("processes")
    (output / "long_tail.py").write_text(FEW_IMAGES, encoding="utf-8")
    (output / "several.py").write_text(SEVERAL, encoding="utf-8")
    launch_two(Path(__file__).with_name("two_processes.py"), str(output))
    return [json.loads((output / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_the_example_of_the_documentation_runs(found):
    for process in found:
        assert process["documented"] == {"finite": True, "same": True}


@pytest.mark.parametrize("part", ["averaged", "mixed"])
def test_averaged_processes_are_one_process_with_all_the_images(found, part):
    for process in found:
        assert len(process[part]) == 13 * 3 * 2 * 2
        assert {case: far for case, far in process[part].items() if not far < 1e-13} == {}


def test_local_processes_give_the_mean_of_their_own_gradients(found):
    for process in found:
        assert len(process["local"]) == (12 * 2 - 1) * 3 * 2
        assert {case: far for case, far in process["local"].items() if not far < 1e-13} == {}


def test_all_processes_end_bit_equal_with_and_without_ddp(found):
    for process in found:
        assert len(process["trained"]) == 13 * 3
        assert [case for case, same in process["trained"].items() if not same] == []


def test_a_parameter_that_one_process_uses_has_its_gradient_everywhere(found):
    for process in found:
        assert process["unused"] == {"used in one": True, "used in none": True}


def test_an_overflow_in_one_process_costs_all_the_step(found):
    for process in found:
        assert process["overflow"] == {"state": True, "scale": True}


def test_gradients_are_reduced_in_one_call(found):
    """One call for the sums of weights, one for the gradients that are ascended together, one for the gradient."""
    for process in found:
        for case, count in process["calls"].items():
            name, ascent = case.split(", ")
            assert count == (3 if ascent == "averaged" and name not in ("sgd", "pgd") else 2), case


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("FSDP", "FSDP and other sharded models cannot be used"),
        ("DDP within", "DistributedDataParallel is inside another wrapper"),
        ("noise", "processes that share their noise need a generator each, seeded alike"),
        ("SyncBatchNorm", "13 micro-batches of 12 images: SyncBatchNorm needs as many in every process"),
        ("one process", "the loss runs in one process alone, not in 2: start one"),
    ],
)
def test_what_cannot_be_used_is_refused(found, case, message):
    assert all(message in process["refused"][case] for process in found)
