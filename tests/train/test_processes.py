"""Training in two processes through torchrun: one run folder, one voice, the same weights in both."""

import json
from pathlib import Path

import pytest
import yaml

from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, train
from ltzoo.train.processes import check_shares
from tests.launch import launch_two

NAME = "resnet20_digitslt_la_sam"
RECIPE = override(
    get_recipe(NAME).with_epochs(1), {"optimizer.lr": 0.001, "batch_size": 128, "architecture": "test_resnet"}
)


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The output folder, and what was said."""
    output = tmp_path_factory.mktemp("processes")
    done = launch_two(Path(__file__).with_name("two_processes.py"), str(output))
    return output, done


def test_both_processes_end_every_epoch_with_the_same_weights_and_statistics(launched):
    output, _ = launched
    for rank in (0, 1):
        found = json.loads((output / f"{rank}.json").read_text())
        assert found == {"codes": [0, 2, 0, 0, 2, 0, 130, 0, 2], "equal": [True] * 7}


def test_a_resumed_run_is_the_same_bit_for_bit(launched):
    output, _ = launched
    kept = "epochs/epoch1/model.safetensors"
    for file in ("checkpoint/model.safetensors", "state/last.safetensors", "metrics.json", kept):
        whole, parts = (output / where / NAME / "seed3" / file for where in ("whole", "interrupted"))
        assert whole.read_bytes() == parts.read_bytes(), file


def test_one_process_writes_and_speaks(launched):
    output, done = launched
    folder = RunFolder(output / "whole" / NAME / "seed0")
    document = yaml.safe_load(folder.recipe.read_text())
    assert document["run"]["processes"] == 2
    assert document["run"]["capture"] is False
    assert done.stderr.count("epoch 1/1") == 2  # of seeds 0 and 1
    assert done.stderr.count("epoch 2/2") == 2  # of seed 3, whole and gone on with
    assert done.stderr.count("exists; add --resume") == 1
    assert [path.name for path in (output / "whole" / NAME / "seed3" / "epochs").iterdir()] == ["epoch1"]
    assert done.stderr.count("the smallest batch of an epoch has 1 images, fewer than the 2 processes") == 1
    assert done.stdout.count(f"{NAME}, seed 0: accuracy") == 2  # trained, then found finished


def test_settings_are_not_tuned_in_two_processes(launched):
    output, done = launched
    assert done.stderr.count("--tune measures a process that has the CPU to itself, but there are 2; leave it out") == 1
    assert not (output / "tuned").exists()


def test_the_losses_are_near_those_of_one_process(launched, tmp_path):
    """BatchNorm sees half the batch in each process; order, augmentation and the step are the same."""
    output, _ = launched
    two = [row["train_loss"] for row in RunFolder(output / "whole" / NAME / "seed0").read_history(1)]
    one = train(RECIPE, TrainOptions(Path("data"), tmp_path)).read_history(1)
    assert two == pytest.approx([row["train_loss"] for row in one], rel=0.1)


def test_a_run_cannot_be_resumed_with_another_number_of_processes(launched):
    output, _ = launched
    with pytest.raises(InputError, match=r"different settings \(run.processes: "):
        train(RECIPE, TrainOptions(Path("data"), output / "whole", resume=True))


def test_every_process_must_get_an_image_of_every_batch():
    assert check_shares(22, 8) == 2
    assert check_shares(32, 32) == 1
    with pytest.raises(InputError, match="has 6 images, fewer than the 8 processes; choose another --batch-size"):
        check_shares(6, 8)
