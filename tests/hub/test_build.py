"""hub/build.py: missing runs are trained in order, within a budget, and collected; stopped ones are resumable."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

import build
import interrupts
import packing
import places
import training_order
import worker
from ltzoo.__main__ import main as ltzoo_main
from ltzoo.doctor import Report
from ltzoo.doctor.report import Advice, Check, Machine
from ltzoo.evaluate import plots
from ltzoo.recipes import FirstStage, registry
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import read_results, write_result
from ltzoo.train import RunFolder
from ltzoo.train.device import cores, device_name
from tests.checkpoints.changes import NAME, change_config
from tests.hub.runs import runs_of
from tests.report.results import result
from training_order import in_order, with_first_stages, without_repetitions

ROOT = Path(__file__).parents[2]
ONE, MANY, SECOND = (f"resnet20_digitslt_{word}_sgd" for word in ("one", "many", "second"))
SHORT = """
from dataclasses import replace
import ltzoo
from ltzoo.recipes import FirstStage
base = ltzoo.get_recipe("resnet20_digitslt_ce_sgd")
for word, epochs in (("one", 1), ("many", 2000)):
    recipe = replace(base.with_epochs(epochs), name=f"resnet20_digitslt_{word}_sgd", protocol="short", batch_size=438)
    ltzoo.register_recipe(recipe)
start = FirstStage("resnet20_digitslt_one_sgd", "fresh")
one = ltzoo.get_recipe("resnet20_digitslt_one_sgd")
ltzoo.register_recipe(replace(one, name="resnet20_digitslt_second_sgd", start=start))
"""


def test_the_order_is_that_of_what_readers_look_for():
    names = [
        recipe.name for recipe, seed in in_order([get_recipe(name) for name in list_recipes()], [0, 1]) if seed == 0
    ]
    assert sorted(names) == sorted(list_recipes())
    fast, names = names[:88], names[88:]
    perturbations = ("ssesam", "sam", "imbsam", "sgd")
    for first, benchmark in ((0, "cifar100lt"), (12, "cifar10lt")):
        wanted = [f"resnet9_{benchmark}_{loss}_{word}" for loss in ("vs", "la", "ce") for word in perturbations]
        assert fast[first : first + 12] == wanted
    assert all(name.startswith("resnet9_") and "_drw_" in name for name in fast[24:40])
    assert all(
        name.startswith("resnet9_") and get_recipe(name).start != get_recipe(fast[0]).start for name in fast[40:]
    )
    assert names[:4] == [f"resnet32_cifar100lt_vs_{word}" for word in ("ssesam", "sam", "imbsam", "sgd")]
    assert names[4:8] == [f"resnet32_cifar10lt_vs_{word}" for word in ("ssesam", "sam", "imbsam", "sgd")]
    assert names[8] == "resnet32_cifar100lt_la_ssesam"
    assert [name.split("_", 2)[2] for name in names[0:40:8]] == [
        f"{loss}_ssesam" for loss in ("vs", "la", "ldam_drw", "ce_drw", "ce")
    ]
    others = {f"resnet32_cifar{c}lt_ce_drw_{w}" for c in (10, 100) for w in ("pgd", "lpfsgd")}
    others |= {f"resnet32_cifar10lt_ce_drw_{w}" for w in ("sam05", "sam80")}
    others |= {f"resnet32_cifar{c}lt_{w}_sgd" for c in (10, 100) for w in ("ce_mixup", "mislas")}
    assert set(names[40:50]) == others
    assert all(name.startswith(("resnet34_cifar10lt_", "resnet34_cifar100lt_")) for name in names[50:92])
    assert all("step" in name for name in names[92:124])
    assert all("lt50_" in name for name in names[124:154])


def test_the_next_seed_comes_after_all_of_the_first():
    jobs = in_order([get_recipe("resnet32_cifar100lt_ce_sgd"), get_recipe("resnet32_cifar100lt_vs_sgd")], [4, 2])
    assert [(recipe.name[-6:], seed) for recipe, seed in jobs] == [
        ("vs_sgd", 4),
        ("ce_sgd", 4),
        ("vs_sgd", 2),
        ("ce_sgd", 2),
    ]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Recipes with one step per epoch, and the options that keep a build in its own folder."""
    (tmp_path / "short_recipes.py").write_text(SHORT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "RECIPES", dict(registry.RECIPES))
    monkeypatch.delitem(sys.modules, "short_recipes", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    places = [word for name in ("output", "zoo", "results") for word in (f"--{name}", str(tmp_path / name))]
    return ["--import", "short_recipes", "--seeds", "0", *places]


class InProcess:
    """Stands for a worker: runs its command in this process when it is first looked at."""

    def __init__(self, line, stdout, stderr, start_new_session, preexec_fn):
        assert line[:3] == [sys.executable, "-m", "ltzoo"]
        assert (stdout, start_new_session) == (stderr, True)
        self.arguments, self.log, self.returncode = line[3:], Path(stdout.name), None

    def poll(self):
        if self.returncode is None:
            with self.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                self.returncode = ltzoo_main(self.arguments)
        return self.returncode


def test_what_is_missing_is_trained_and_collected_and_what_fails_is_named(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    stray = tmp_path / "output" / MANY / "seed0" / "stray"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert build.main([ONE, MANY, "--jobs", "2", "--save-epochs", "1", *folders]) == 1
    said = capsys.readouterr().out
    assert "2 runs are missing" in said
    assert re.search(rf"failed: {MANY}, seed 0: .*has files, but no run of ltzoo", said)
    assert re.search(rf"finished: {ONE}, seed 0; .* is seed 0, overall", said)
    assert "1 runs finished, 1 failed, 0 not begun" in said
    assert [found.model for found in read_results(tmp_path / "results")] == [ONE]
    assert (tmp_path / "zoo" / ONE / "model.safetensors").is_file()
    assert (tmp_path / "output" / ONE / "seed0" / "epochs" / "epoch1" / "model.safetensors").is_file()
    assert build.main([ONE, *folders]) == 0
    assert capsys.readouterr().out == "0 runs are missing\n"


def test_a_second_stage_is_trained_after_its_first(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    assert build.main([SECOND, "--jobs", "2", *folders]) == 0
    said = capsys.readouterr().out
    assert said.index(f"finished: {ONE}, seed 0") < said.index(f"begun: {SECOND}, seed 0")
    assert [found.model for found in read_results(tmp_path / "results")] == [ONE, SECOND]
    # The first stage has a result but no weights in another output folder: it is trained for them, and not collected.
    shutil.rmtree(tmp_path / "output")
    shutil.rmtree(tmp_path / "results" / SECOND)
    assert build.main([SECOND, *folders]) == 0
    assert f"finished: {ONE}, seed 0, the first stage of another run" in capsys.readouterr().out


def test_stages_form_chains(folders, tmp_path):
    build.main([SECOND, "--pack", str(tmp_path / "pack"), *folders])  # registers the short recipes
    second = get_recipe(SECOND)
    third = replace(second, name="resnet20_digitslt_third_sgd", start=FirstStage(SECOND, "kept"))
    jobs = with_first_stages([(third, 0)], tmp_path / "output")
    assert [recipe.name for recipe, _ in jobs] == [ONE, SECOND, third.name]


def test_an_unfinished_first_stage_is_continued_although_it_is_published(tmp_path, monkeypatch):
    monkeypatch.setenv("LTZOO_HUB", str(ROOT / "hub/zoo"))
    crt = get_recipe("resnet20_digitslt_crt_sgd")
    assert with_first_stages([(crt, 7)], tmp_path) == [(crt, 7)]
    (tmp_path / "resnet20_digitslt_ce_sgd" / "seed7" / "state").mkdir(parents=True)
    assert with_first_stages([(crt, 7)], tmp_path) == [(get_recipe("resnet20_digitslt_ce_sgd"), 7), (crt, 7)]


def test_a_second_stage_without_its_first_is_named(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    stray = tmp_path / "output" / ONE / "seed0" / "stray"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert build.main([SECOND, *folders]) == 1
    assert f"failed: {SECOND}, seed 0: its first stage, {ONE}, was not trained" in capsys.readouterr().out


STUBBORN = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(flush=True); time.sleep(60)"
# A shell in the background leaves SIGINT ignored.
OBEDIENT = "import signal, time; signal.signal(2, signal.default_int_handler); print(flush=True); time.sleep(60)"


def test_workers_are_interrupted_until_they_stop_and_killed_in_the_end(monkeypatch):
    lines = [[sys.executable, "-c", code] for code in (OBEDIENT, STUBBORN)]
    processes = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for line in lines]
    for process in processes:
        process.stdout.readline()  # it sleeps from now on
    clock = iter(range(0, 10_000, 5))
    # No time passes before the first has stopped, and then five seconds with each look at the clock.
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: 0 if processes[0].poll() is None else next(clock))
    interrupts.stop(processes, within=20)
    assert [process.wait(10) for process in processes] == [-signal.SIGINT, -signal.SIGKILL]


def test_a_worker_that_saves_its_step_gets_one_signal_in_most_of_the_time(monkeypatch):
    """A second one, more than a second after the first, would end it without saving."""
    now, sent = [0.0], []

    class Saving:
        def poll(self):
            return None

        def send_signal(self, number):
            sent.append((round(now[0]), number))

    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(interrupts.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    interrupts.stop([Saving()], within=15)
    assert sent == [(0, signal.SIGINT), (9, signal.SIGTERM), (12, signal.SIGKILL)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_request_to_end_interrupts_a_build_also_if_it_was_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.interrupts():
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_an_interrupted_build_stops_its_workers_and_says_what_is_kept(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        idle = subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        idle.stdout.readline()
        return worker.Worker(idle, jobs, tmp_path / "log", 0)

    monkeypatch.setattr(build._Build, "start", start)
    looks = iter([lambda: False, lambda: os.kill(os.getpid(), signal.SIGTERM)])
    monkeypatch.setattr(build._Build, "is_over", lambda self: next(looks)())
    assert build.main([MANY, *folders]) == 130
    shown = capsys.readouterr()
    assert f"stopped: {MANY}, seed 0: 0 of 2000 epochs are kept in" in shown.out
    assert shown.err == "build.py: interrupted\n"


def test_a_budget_without_an_epoch_is_refused(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        return worker.Worker(idle, jobs, tmp_path / "log", 0)

    monkeypatch.setattr(build._Build, "start", start)
    assert build.main([ONE, "--time-budget", "0.001", *folders]) == 2
    error = capsys.readouterr().err
    assert f"the budget of 0.001 minutes is too small for one epoch of {ONE}; give more" in error


@pytest.mark.slow
def test_an_interrupted_build_takes_its_runs_along_and_goes_on_until_its_time_is_up(
    folders, tmp_path, monkeypatch, capsys
):
    line = [sys.executable, str(ROOT / "hub" / "build.py"), MANY, *folders]
    run, log = RunFolder(tmp_path / "output" / MANY / "seed0"), tmp_path / "output" / "logs" / f"{MANY}.seed0.log"

    def wait_for(what):
        deadline = time.monotonic() + 120
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    # As a shell does to what it starts in the background, where nobody can interrupt it by a key.
    ignored = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *line]
    process = subprocess.Popen(ignored, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: len(run.read_history(2000)) > 1 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        said, error = process.communicate(timeout=100)
    finally:
        process.kill()
    assert (process.returncode, error.strip().splitlines()[-1]) == (130, "build.py: interrupted")
    assert re.search(rf"stopped: {MANY}, seed 0: \d+ of 2000 epochs are kept in", said)
    assert "of 2000 epochs are saved; continue with --resume" in log.read_text()
    before = run.read_history(2000)
    monkeypatch.setattr(build._Build, "is_over", lambda self: len(run.read_history(2000)) > len(before) + 1)
    assert build.main([MANY, "--time-budget", "10", *folders]) == 0
    after, said = run.read_history(2000), capsys.readouterr().out
    assert f"stopped: {MANY}, seed 0: {len(after)} of 2000 epochs are kept in {run.path}" in said
    assert "0 runs finished, 0 failed, 0 not begun" in said
    losses = [[row["train_loss"] for row in rows] for rows in (before, after)]
    assert losses[1][: len(before)] == losses[0]
    assert read_results(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nothing*"], "no recipe matches 'nothing*'"),
        (["resnet20_digitslt_ce_sdg"], "the nearest are resnet20_digitslt_ce_sgd"),
        ([NAME, "--time-budget", "0"], "must be minutes above 0, not '0'"),
        ([NAME, "--time-budget", "soon"], "must be minutes above 0, not 'soon'"),
        ([NAME, "--save-epochs", "1,ten"], "--save-epochs: must be a whole number, not 'ten'"),
        ([ONE, NAME, "--save-epochs", "2"], f"{ONE} has no epoch 2 to save; --save-epochs takes 1 to 1"),
        ([ONE, "--val-interval", "5,2:1"], f"--val-interval 5,2:1 changes at epoch 2, but {ONE} has 1 epochs"),
        ([NAME, "--val-interval", "some"], "--val-interval must be a number of epochs, or a schedule such as"),
        ([NAME, "--precision", "float8"], "invalid choice: 'float8'"),
        (["resnet32_cifar100lt_ce_sgd", "--pack", "packed", "--data-dir", "nowhere"], "nowhere does not exist"),
        ([NAME, "--jobs", "0"], "must be at least 1, not 0"),
        ([NAME, "--hold-out", "2"], "--hold-out belongs to --pack"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, match, folders, capsys, tmp_path):
    before = set(tmp_path.iterdir())
    try:
        code = build.main([*arguments, *folders])
    except SystemExit as error:
        code = error.code
    assert code == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert set(tmp_path.iterdir()) <= before | {tmp_path / "__pycache__"}


def test_what_was_finished_before_is_collected_and_not_trained_again(
    folders, checkpoint, tmp_path, monkeypatch, capsys
):
    runs = [Path(run) for run in runs_of(checkpoint, tmp_path / "output", [70.0, 80.0, 90.0])]
    shutil.rmtree(checkpoint)  # it lies where the zoo is to be
    change_config(runs[1] / "checkpoint", overrides={"optimizer.lr": [0.1, 0.05]})
    monkeypatch.setattr(build._Build, "start", None)
    assert build.main([NAME, *folders, "--seeds", "0", "1", "2", "0"]) == 1
    said = capsys.readouterr().out
    assert re.search(rf"failed: {NAME}, seed 1: .* was trained with overrides .optimizer.lr.", said)
    assert "2 runs finished, 1 failed, 0 not begun" in said
    assert [found.seed for found in read_results(tmp_path / "results")] == [0, 2]


def test_another_run_of_a_seed_does_not_stop_the_others(folders, checkpoint, tmp_path, monkeypatch, capsys):
    runs_of(checkpoint, tmp_path / "output", [70.0, 80.0])
    shutil.rmtree(checkpoint)
    write_result(tmp_path / "results", result(NAME, seed=0))
    monkeypatch.setattr(build._Build, "start", None)
    assert build.main([NAME, *folders, "--seeds", "0", "1"]) == 0
    assert f"finished: {NAME}, seed 1;" in capsys.readouterr().out
    assert [found.seed for found in read_results(tmp_path / "results")] == [0, 1]


class Told:
    """Stands for a worker: says and does what it is told, and ends with a code; keeps the command lines."""

    def __init__(self, *endings):
        self.endings, self.lines = list(endings), []

    def __call__(self, line, stdout, **_):
        self.lines.append(line)
        self.returncode = None
        self.log, self.ending = Path(stdout.name), self.endings[len(self.lines) - 1]
        return self

    def names(self, number):
        line = self.lines[number]
        return line[line.index("--recipe") + 1 : line.index("--seed")]

    def poll(self):
        if self.returncode is None:
            code, said = self.ending() if callable(self.ending) else self.ending
            with self.log.open("a") as log:
                log.write(said)
            self.returncode = code
        return self.returncode

    def send_signal(self, number):
        raise AssertionError("it has ended")


@pytest.fixture
def on_cuda(folders, monkeypatch):
    """Four recipes of one kind, and three of others: another length, precision, architecture."""
    monkeypatch.setattr(places.torch.cuda, "is_available", lambda: True)
    base = registry.RECIPES["resnet20_digitslt_ce_sgd"]
    kinds = {
        "a": {},
        "b": {},
        "longer": {"schedule": base.with_epochs(80).schedule},
        "c": {},
        "tf": {"precision": "tf32"},
        "other": {"architecture": "resnet32_cifar"},
        "d": {},
    }
    for word, changes in kinds.items():
        name = f"resnet20_digitslt_{word}_sgd"
        registry.RECIPES[name] = replace(base, name=name, protocol="short", **changes)
    return [f"resnet20_digitslt_{word}_sgd" for word in kinds], folders


def words(names):
    return [name.split("_")[2] for name in names]


def finish_all(folders):
    """A finished run in each folder, as far as a build looks at it; it cannot be collected."""

    def finish():
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").touch()
        return 0, ""

    return finish


def test_on_cuda_runs_of_one_architecture_length_precision_and_seed_share_a_process(on_cuda, tmp_path, monkeypatch):
    names, folders = on_cuda
    # The test's interpreter ends in InputError: nothing is repeated after a second failure.
    told = Told(*[(2, "ltzoo train: error: no\n")] * 30)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    assert build.main([*names, "--jobs", "2", "--eager", *folders, "--seeds", "0", "1"]) == 1
    groups = [words(told.names(number)) for number in range(8)]
    assert groups == [["a", "b", "c", "d"], ["longer"], ["tf"], ["other"]] * 2
    assert [line[line.index("--side-by-side") + 1] for line in told.lines[:2]] == ["2", "2"]
    assert all("--eager" in line for line in told.lines)
    # Of the groups of four each run is tried once more; the others were alone already.
    assert sorted(words(name for number in range(8, 16) for name in told.names(number))) == sorted("abcd" * 2)
    assert len(told.lines) == 16


def test_a_run_that_fails_among_others_is_tried_once_more_alone(on_cuda, tmp_path, monkeypatch, capsys):
    names, folders = on_cuda
    run = {word: tmp_path / "output" / f"resnet20_digitslt_{word}_sgd" / "seed0" for word in "abcd"}
    why = "ltzoo train: error: resnet20_digitslt_b_sgd.seed0 ran out of memory (CUDA out of memory); its last state\n"
    told = Told(lambda: (finish_all([run["a"], run["c"], run["d"]])(), (2, why))[1], finish_all([run["b"]]))
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    monkeypatch.setattr(build, "collect", lambda *arguments: ["it is collected"])
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 0
    said = capsys.readouterr().out
    assert [words(told.names(number)) for number in range(2)] == [["a", "b", "c", "d"], ["b"]]
    assert (
        "again, alone: resnet20_digitslt_b_sgd, seed 0: ltzoo train: error: resnet20_digitslt_b_sgd.seed0 ran" in said
    )
    assert "4 runs finished, 0 failed, 0 not begun" in said


def test_what_had_not_begun_when_the_process_died_is_not_counted_as_failed(on_cuda, tmp_path, monkeypatch, capsys):
    names, folders = on_cuda
    run = {word: tmp_path / "output" / f"resnet20_digitslt_{word}_sgd" / "seed0" for word in "abcd"}
    died = -signal.SIGSEGV, f"resnet20_digitslt_a_sgd.seed0: {run['a']}: 40 epochs on cuda, float32\n"
    told = Told(died, finish_all(run[word] for word in "bcd"), died, died)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    monkeypatch.setattr(build, "collect", lambda *arguments: ["it is collected"])
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 1
    said = capsys.readouterr().out
    assert [words(told.names(number)) for number in range(3)] == [["a", "b", "c", "d"], ["b", "c", "d"], ["a"]]
    assert said.count("killed by SIGSEGV") == 2
    assert "3 runs finished, 1 failed, 0 not begun" in said


def test_a_process_that_dies_before_any_run_begins_costs_one_run_its_try(on_cuda, tmp_path, monkeypatch):
    names, folders = on_cuda
    told = Told(*[(-signal.SIGSEGV, "")] * 8)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 1
    assert [words(told.names(number)) for number in range(8)] == [
        ["a", "b", "c", "d"],
        ["b", "c", "d"],
        ["c", "d"],
        ["d"],
        *(["a"], ["b"], ["c"], ["d"]),
    ]


def test_on_a_cpu_a_run_is_tried_again_if_its_process_died_and_not_if_it_refused(
    folders, tmp_path, monkeypatch, capsys
):
    refused, fault = (2, "ltzoo train: error: no\n"), (1, "Traceback\nTypeError: a fault\n")
    told = Told((-signal.SIGKILL, ""), refused, refused, fault, refused)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    for tries in (2, 3, 5):
        assert build.main([ONE, "--jobs", "1", *folders]) == 1
        assert len(told.lines) == tries
    said = capsys.readouterr().out
    assert said.count("again, alone: ") == 2
    assert "again, alone: resnet20_digitslt_one_sgd, seed 0: killed by SIGKILL" in said
    assert "again, alone: resnet20_digitslt_one_sgd, seed 0: TypeError: a fault" in said
    assert said.count("failed: resnet20_digitslt_one_sgd, seed 0: ltzoo train: error: no") == 3


IDLE = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from worker import Worker
worker = Worker.start([sys.executable, "-c", "import time; time.sleep(600)"], [], Path({log!r}), False)
print(worker.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_ends_with_its_builder_also_when_that_is_killed(number, tmp_path):
    code = IDLE.format(path=[str(ROOT), str(ROOT / "hub")], log=str(tmp_path / "log"))
    builder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    process = psutil.Process(int(builder.stdout.readline()))
    assert process.is_running()
    builder.send_signal(number)
    builder.wait(10)
    gone, _ = psutil.wait_procs([process], timeout=10)
    assert gone or process.status() == psutil.STATUS_ZOMBIE  # a container may have nobody who reaps it


def test_a_build_stops_within_its_budget_also_if_a_run_does_not(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        stubborn = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
        stubborn.stdout.readline()
        self.end = (began := time.monotonic()) + 6
        starts.append(began)
        return worker.Worker(stubborn, jobs, tmp_path / "log", 0)

    starts = []
    monkeypatch.setattr(build._Build, "start", start)
    assert build.main([MANY, "--time-budget", "0.1", *folders]) == 2  # 6 s, of which it closes in 0.6 s
    assert time.monotonic() - starts[0] < 6 + 1
    assert "too small for one epoch" in capsys.readouterr().err


MACHINE = Machine("cpu", device_name(torch.device("cpu")), 1, 25.0, 20.0, "AVX512", None, cores(), {})
FOUND = Report(MACHINE, 19.0, (), (Check("device", "ok", ""),), Advice("bfloat16", 2, False, 3, 1), 20.0)


def written(path, report):
    path.write_text(json.dumps(report.to_dict()))
    return str(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the report is one of a CPU")
def test_a_build_follows_the_doctor_where_no_option_says_otherwise(folders, tmp_path):
    file = written(tmp_path / "doctor.json", FOUND)
    parse = build.build_parser().parse_args
    found = places.find_places(parse([ONE, "--doctor", file, *folders]))
    assert found == places.Places(3, False, 1, "bfloat16", False)
    assert found.options() == ["--threads", "1", "--set", "precision=bfloat16"]
    asked = parse([ONE, "--doctor", file, "--jobs", "1", "--threads", "2", "--precision", "float32", *folders])
    assert places.find_places(asked) == places.Places(1, False, 2, "float32", False)


def test_on_a_gpu_a_build_follows_the_doctor(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(places.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(places, "device_name", lambda device: "NVIDIA H200")
    machine = replace(MACHINE, device="cuda", name="NVIDIA H200")
    wrong = (Check("capture", "wrong", "they differ"),)
    report = replace(FOUND, machine=machine, checks=wrong, advice=Advice("tf32", None, False, 8, None))
    file = written(tmp_path / "doctor.json", report)
    found = places.find_places(build.build_parser().parse_args([ONE, "--doctor", file, *folders]))
    assert found == places.Places(8, True, 1, "tf32", True)
    assert found.options() == [*("--threads", "1", "--side-by-side", "8", "--set", "precision=tf32", "--eager")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the report is one of a CPU")
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"machine": replace(MACHINE, name="another")}, r"is of another machine \(cpu: another, .* run ltzoo doctor"),
        (
            {"checks": (Check("device", "wrong", "no driver"),)},
            "says what is wrong here: device: no driver; correct it",
        ),
        ({"advice": None}, "recommends nothing, since nothing was measured; run ltzoo doctor again"),
    ],
)
def test_a_report_that_does_not_help_is_refused(changes, match, folders, tmp_path, capsys):
    file = written(tmp_path / "doctor.json", replace(FOUND, **changes))
    assert build.main([ONE, "--doctor", file, *folders]) == 2
    assert re.search(match, capsys.readouterr().err)


def test_runs_of_several_lengths_are_passed_the_changes_that_they_reach(folders, monkeypatch, tmp_path):
    told = Told(*[(2, "ltzoo train: error: no\n")] * 2)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    assert build.main([ONE, MANY, "--val-interval", "5,2:1", "--jobs", "1", *folders]) == 1
    assert [line[line.index("--val-interval") + 1] for line in told.lines] == ["5", "5,2:1"]


def test_results_that_are_there_are_not_trained_again(folders, tmp_path, capsys):
    write_result(tmp_path / "results", result(NAME))
    assert build.main([NAME, *folders]) == 0
    assert capsys.readouterr().out == "0 runs are missing\n"


def test_each_data_set_is_packed_with_the_subsets_that_its_recipes_keep(folders, monkeypatch, capsys):
    packed = {}
    monkeypatch.setattr(build, "load_subset", lambda benchmark, rule, data_dir, download: (benchmark.name, rule))
    monkeypatch.setattr(packing, "pack", lambda data_set, subsets, *places: packed.update({data_set: subsets}) or 2**20)
    names = ["resnet32_cifar10lt_ce_s*", "resnet34_cifar10lt50_ce_sgd", "resnet34_cifar100lt_la_sam", NAME]
    assert build.main([*names, "--pack", "packed", *folders]) == 0
    assert packed == {
        "cifar10": [("cifar10lt", "cao"), ("cifar10lt50", "first")],
        "cifar100": [("cifar100lt", "first")],
    }
    assert "packed/cifar10: 1.0 MiB, for cifar10lt, cifar10lt50\n" in capsys.readouterr().out


def test_a_computed_head_is_not_repeated_on_another_seeds_first_stage(tmp_path, monkeypatch):
    """Of the first stage only seed 0 is published; the nearest class mean of other seeds would equal that seed's."""

    def find(name, runs, seed, any_seed=True):
        return tmp_path if any_seed or seed == 0 else None

    monkeypatch.setattr(training_order, "find_first_stage", find)
    recipe, trained = get_recipe("resnet32_cifar100lt_ncm_sgd"), get_recipe("resnet32_cifar100lt_crt_sgd")
    jobs, said = [(recipe, 0), (trained, 1), (recipe, 1)], []
    assert without_repetitions(jobs, tmp_path, said.append) == jobs[:2]
    assert said == [
        "left out: resnet32_cifar100lt_ncm_sgd, seed 1: its head is computed, and there is no first stage of that seed"
    ]
    first = get_recipe("resnet32_cifar100lt_ce_sgd")
    assert without_repetitions([(first, 1), *jobs], tmp_path, said.append) == [(first, 1), *jobs]
    assert len(said) == 1
