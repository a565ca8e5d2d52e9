"""Faults of disk, folder and clock: one clear line, exit code 2, and the last state is sound."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from ltzoo.cli import train as command
from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, train
from ltzoo.train.progress import Progress
from ltzoo.train.selection import Selections
from ltzoo.train.state import read_epoch, save_tensors
from tests.launch import ROOT
from tests.train.test_interrupts import same_files

NAME = "resnet20_digitslt_ce_sgd"
TINY = {"architecture": "test_resnet", "batch_size": 219, "optimizer.lr": 0.01}
RECIPE = override(get_recipe(NAME).with_epochs(3), TINY)
ARGUMENTS = f"--recipe {NAME} --arch test_resnet --epochs 3 -b 219 --lr 0.01".split()


@pytest.fixture(scope="module")
def whole(finished_run, tmp_path_factory) -> RunFolder:
    """An undisturbed run."""
    return train(RECIPE, TrainOptions(Path("data"), tmp_path_factory.mktemp("whole")))


def after_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, act) -> None:
    """Call a function once an epoch, counted from 1, is reported."""
    report = Progress.epoch

    def report_then_act(self, row, rates):
        report(self, row, rates)
        if row["epoch"] + 1 == epoch:
            act()

    monkeypatch.setattr(Progress, "epoch", report_then_act)


def fails(output: Path, capsys: pytest.CaptureFixture, *options: str) -> str:
    """Train through the command, which must end with code 2; returns its last line."""
    assert command.main([*ARGUMENTS, "--output", str(output), *options]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said.splitlines()[-1]


def resumed(output: Path) -> RunFolder:
    return train(RECIPE, TrainOptions(Path("data"), output, resume=True))


def test_a_full_disk_keeps_the_last_epoch(whole, tmp_path, monkeypatch, capsys):
    """The limit is the system's, so that the exceptions are those of a full disk."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        after_epoch(monkeypatch, 2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1])))
        line = fails(tmp_path, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    monkeypatch.undo()
    folder = RunFolder(tmp_path / NAME / "seed0")
    assert line.startswith(f"train.py: error: {folder.path}/state/")
    assert ".safetensors cannot be written: it is larger than a file may be here (ulimit -f" in line
    assert len(folder.read_history(9)) == 2
    assert not list(folder.path.rglob("*.tmp"))
    same_files(whole, resumed(tmp_path))


def test_a_file_system_that_is_full(whole, tmp_path):
    """A file system of 1 MB in a process that may mount one."""
    run = f"{sys.executable} -m ltzoo train {' '.join(ARGUMENTS)} --threads 1 --output {tmp_path}/disk/o"
    script = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/disk || exit 77; {run}; echo code $?; ls -A {tmp_path}/disk"
    (tmp_path / "disk").mkdir()
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare, which mounts a file system without privileges")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    if done.returncode in (1, 77) and "code" not in done.stdout:
        pytest.skip("this system does not let a process mount a file system of its own")
    assert "code 2" in done.stdout
    assert "no space is left on the device; make room" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_removed_while_it_is_used(tmp_path, monkeypatch, capsys):
    after_epoch(monkeypatch, 2, lambda: shutil.rmtree(tmp_path / NAME))
    line = fails(tmp_path, capsys)
    assert "cannot be written: its folder does not exist, or was removed in the meantime" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    """As another user if these tests run as root, who may write everywhere."""
    (tmp_path / "o").mkdir(mode=0o555)
    script = """
import os, sys
from pathlib import Path
from ltzoo.atomic_write import WriteError, atomic_folder
from ltzoo.train import RunFolder
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
for use in (lambda path: RunFolder(path / "x" / "seed0").claim({}, {}, False), lambda path: atomic_folder(path / "c")):
    try:
        with use(Path(sys.argv[1])):
            print("it can be written")
    except WriteError as error:
        print(error)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "o")]
    for parent in (tmp_path, *tmp_path.parents):
        if (
            os.getuid() == 0
            and parent.stat().st_mode & 0o005 != 0o005
            and parent.name.startswith(("pytest", "popen", "test"))
        ):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/o/x/seed0 cannot be written: permission is denied; name another place",
        f"{tmp_path}/o/c cannot be written: permission is denied; name another place",
    ], done.stderr
    assert list((tmp_path / "o").iterdir()) == []


def test_a_clock_that_is_set_back(whole, tmp_path, monkeypatch):
    """Files of a run that lie in the future, and a clock that runs backwards, change nothing."""
    stop = iter([None])

    def interrupt():
        if next(stop, 0) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        after_epoch(patch, 1, interrupt)
        train(RECIPE, TrainOptions(Path("data"), tmp_path))
    for path in tmp_path.rglob("*"):
        os.utime(path, (time.time() + 1e8,) * 2)
    now = [1e9]

    def backwards() -> float:
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    same_files(whole, resumed(tmp_path))


@pytest.mark.parametrize("place", ["before the state", "after the state"])
def test_best_weights_belong_to_the_state_that_names_them(place, whole, tmp_path, monkeypatch):
    """A kill comes between the weights of a better epoch and the state, or between the state and their renaming."""

    class Killed(BaseException):
        pass

    def killed(*arguments, **keywords):
        if arguments[-1] == 1 or place == "before the state":
            raise Killed

    adopt = Selections.adopt
    with monkeypatch.context() as patch, pytest.raises(Killed):
        if place == "after the state":
            patch.setattr(Selections, "adopt", lambda self, epoch: killed(epoch) or adopt(self, epoch))
        else:
            after_epoch(patch, 1, lambda: patch.setattr("ltzoo.train.saving.save_state", killed))
        patch.setattr("ltzoo.train.run.Selections.compare", always_better)
        train(RECIPE, TrainOptions(Path("data"), tmp_path))
    folder = RunFolder(tmp_path / NAME / "seed0")
    assert (read_epoch(folder.selected("best")), read_epoch(folder.newly_selected("best"))) == (0, 1)
    chosen = Selections(folder, {"best": 1})
    with safe_open(folder.last_state, "pt") as file:
        progress = json.loads(file.metadata()["state"])["progress"]
    chosen.restore(progress, settle=True)
    expected = 1 if place == "after the state" else 0
    assert chosen.epochs == {"best": expected}
    assert read_epoch(folder.selected("best")) == expected
    assert not folder.newly_selected("best").exists()


def always_better(self, overall, epoch, is_last, model, write):
    self.best["best"], self.epochs["best"] = epoch, epoch
    save_tensors(self.folder.newly_selected("best"), model.state_dict(), {"epoch": str(epoch)})


def test_the_state_of_version_0_2_does_not_name_the_best_epoch(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "state").mkdir()
    older = {"epochs": 3, "best": {"best": 50.0}}
    for epoch, best in ((2, 50.0), (3, -1.0)):  # epoch 3 is to be trained again
        save_tensors(folder.selected("best"), {}, {"epoch": str(epoch)})
        chosen = Selections(folder, {"best": 1})
        chosen.restore(older, settle=True)
        assert chosen.best == {"best": best}
    folder.selected("best").unlink()
    with pytest.raises(
        InputError, match=r"best.safetensors does not have the weights of epoch 3, which the state names"
    ):
        Selections(folder, {"best": 1}).restore(older | {"best_epochs": {"best": 2}}, settle=True)


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path):
    """The shortened set; benchmarks/survival.py without options has all methods, 40 kills and 8 signals."""
    script = str(ROOT / "benchmarks" / "survival.py")
    done = subprocess.run(
        [sys.executable, script, "--kills", "4", "--signals", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 runs disturbed, 5 survived, 0 lost" in done.stdout
