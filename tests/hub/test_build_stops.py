"""hub/build.py: interrupted or out of time, it stops its workers, and the same command goes on."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

import build
import interrupts
import run_queue
import worker
from ltzoo.errors import Interrupted
from ltzoo.report import read_results
from ltzoo.train import RunFolder
from tests.hub.builds import MANY, ONE, ROOT

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
OBEDIENT = "import time; print(flush=True); time.sleep(60)"


def idle_worker(jobs, log, shared=False):
    """A worker that trains nothing."""
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    return worker.Worker(idle, jobs, log, 0, shared=shared)


def test_workers_are_terminated_until_they_stop_and_killed_in_the_end(monkeypatch):
    lines = [[sys.executable, "-c", code] for code in (OBEDIENT, STUBBORN)]
    processes = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for line in lines]
    for process in processes:
        process.stdout.readline()  # it sleeps from now on
    clock = iter(range(0, 10_000, 5))
    # No time passes before the first has stopped, and then five seconds with each look at the clock.
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: 0 if processes[0].poll() is None else next(clock))
    interrupts.stop(processes, within=20)
    assert [process.wait(10) for process in processes] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_worker_that_is_stopped_while_it_imports_leaves_no_traceback(tmp_path):
    imports = [sys.executable, "-c", OBEDIENT]  # no handler is installed yet
    started = worker.Worker.start(imports, [], tmp_path / "log", False)
    deadline = time.monotonic() + 30
    while not started.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    interrupts.stop([started.process], within=20)
    assert (started.process.returncode, started.log.read_text()) == (-signal.SIGTERM, "\n")


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
    assert sent == [(0, signal.SIGTERM), (9, signal.SIGTERM), (12, signal.SIGKILL)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_request_to_end_interrupts_a_build_also_if_it_was_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted) as stopped, interrupts.interrupts():
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert stopped.value.number == number
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_an_interrupted_build_stops_its_workers_and_says_what_is_kept(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        idle = subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        idle.stdout.readline()
        return worker.Worker(idle, jobs, tmp_path / "log", 0)

    monkeypatch.setattr(run_queue.RunQueue, "start", start)
    looks = iter([lambda: False, lambda: os.kill(os.getpid(), signal.SIGTERM)])
    monkeypatch.setattr(run_queue.RunQueue, "is_over", lambda self: next(looks)())
    assert build.main([MANY, *folders]) == 143
    shown = capsys.readouterr()
    assert f"stopped: {MANY}, seed 0: it has not started" in shown.out
    assert shown.err == "build.py: stopped by SIGTERM\n"


def test_a_budget_without_a_saved_step_is_refused(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        return idle_worker(jobs, tmp_path / "log")

    monkeypatch.setattr(run_queue.RunQueue, "start", start)
    assert build.main([ONE, "--time-budget", "0.001", *folders]) == 2
    error = capsys.readouterr().err
    assert f"the budget of 0.001 minutes is too small to save a single step of {ONE}; give more" in error


def test_steps_of_an_epoch_that_is_not_finished_are_progress(folders, tmp_path, monkeypatch, capsys):
    state = RunFolder(tmp_path / "output" / MANY / "seed0").last_state
    code = """
import json, sys
from pathlib import Path
from torch import zeros
from ltzoo.train.state import save_tensors
path = Path(sys.argv[1])
path.parent.mkdir(parents=True)
save_tensors(path, {"x": zeros(1)}, {"state_within_epoch": json.dumps({"progress": {"epochs": 54, "step": 74}})})
"""

    def start(self, jobs, alone=False):
        subprocess.run([sys.executable, "-c", code, str(state)], check=True)
        self.end = time.monotonic()
        return idle_worker(jobs, tmp_path / "log")

    monkeypatch.setattr(run_queue.RunQueue, "start", start)
    assert build.main([MANY, "--time-budget", "10", *folders]) == 0
    shown = capsys.readouterr().out
    assert f"stopped: {MANY}, seed 0: 54 of 2000 epochs and 74 steps are kept in {state.parents[1]}\n" in shown


def test_a_budget_that_ends_before_a_shared_worker_has_started_a_run_is_refused(folders, tmp_path, monkeypatch, capsys):
    def start(self, jobs, alone=False):
        (tmp_path / "log").touch()
        return idle_worker(jobs, tmp_path / "log", shared=True)

    monkeypatch.setattr(run_queue.RunQueue, "start", start)
    assert build.main([ONE, "--time-budget", "0.001", *folders]) == 2
    assert f"too small to save a single step of {ONE}; give more" in capsys.readouterr().err


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
    assert (process.returncode, error.strip().splitlines()[-1]) == (143, "build.py: stopped by SIGTERM")
    assert re.search(rf"stopped: {MANY}, seed 0: \d+ of 2000 epochs (and \d+ steps? )?are kept in", said)
    assert "of 2000 epochs are saved; continue with --resume" in log.read_text()
    before = run.read_history(2000)
    monkeypatch.setattr(run_queue.RunQueue, "is_over", lambda self: len(run.read_history(2000)) > len(before) + 1)
    assert build.main([MANY, "--time-budget", "10", *folders]) == 0
    after, said = run.read_history(2000), capsys.readouterr().out
    kept = rf"{len(after)} of 2000 epochs (and \d+ steps? )?are kept in {re.escape(str(run.path))}"
    assert re.search(f"stopped: {MANY}, seed 0: {kept}", said)
    assert "runs: 0 finished, 0 failed, 1 stopped, 0 not started" in said
    losses = [[row["train_loss"] for row in rows] for rows in (before, after)]
    assert losses[1][: len(before)] == losses[0]
    assert read_results(tmp_path / "results") == []


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
    monkeypatch.setattr(run_queue.RunQueue, "start", start)
    assert build.main([MANY, "--time-budget", "0.1", *folders]) == 2  # 6 s, of which it closes in 0.6 s
    assert time.monotonic() - starts[0] < 6 + 1
    assert "too small to save a single step" in capsys.readouterr().err
