"""Contrastive losses in two processes through torchrun and gloo, in one launch."""

import json
from pathlib import Path

import pytest

from tests.launch import launch_two


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    output = tmp_path_factory.mktemp("processes")
    launch_two(Path(__file__).with_name("two_processes.py"), str(output))
    return [json.loads((output / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_rows_are_gathered_in_order_and_gradients_are_summed(found):
    for process in found:
        assert set(process["gathered"].values()) == {0.0}
        assert len(process["gathered"]) == 3 * 4


def test_two_processes_are_one_with_all_the_images(found):
    for process in found:
        assert len(process["losses"]) == 2 * 2 * 3 * 2
        assert {case: far for case, far in process["losses"].items() if not far < 1e-13} == {}


def test_both_end_with_the_same_statistics_bit_for_bit(found):
    for process in found:
        assert process["states"]["means"]
        assert all(process["states"].values())


def test_a_loss_that_gathers_from_all_is_refused_in_a_group_of_some(found):
    for process in found:
        assert len(process["of_some"]) == 4
        for said in process["of_some"].values():
            assert said == (
                "the loss gathers the images of all 2 processes, but the step's process_group has 1: "
                "use torch.distributed.group.WORLD"
            )


def test_a_loss_of_one_process_is_refused_in_two(found):
    for process in found:
        assert process["refused"] == "the loss runs in one process alone, not in 2: start one"
