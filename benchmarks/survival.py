"""Kill training runs at random moments, resume them, and compare with an undisturbed run, bit for bit.

`python benchmarks/survival.py [--kills 40] [--signals 8] [--seed 0] [--json FILE]`. Small runs on the digits, on a CPU:
SGD, SAM and SSE-SAM across its change of stages, in one process and in two. Half of the kills (SIGKILL) come at a
random time, half of them before a random call about a file of the run, which is while it is saved. Some runs get
SIGTERM or SIGINT instead. Each attempt is a process of its own, forked after the imports. The exit code is 1 if
anything was lost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from kills import kill_before_call, watch_calls
from ltzoo.cli import train
from ltzoo.evaluate import plots
from ltzoo.train import RunFolder
from ltzoo.train.saving import Saved
from ltzoo.train.step import Step

METHODS = {"SGD": "ce_sgd", "SAM": "ce_sam", "SSE-SAM": "ce_ssesam"}
"""What is trained, and the end of the recipe's name."""
EPOCHS = 4
OPTIONS = f"--arch test_resnet --epochs {EPOCHS} -b 128 --lr 0.01 --threads 1 --save-epochs 2"
FILES = ("checkpoint/model.safetensors", "state/last.safetensors", "state/best.safetensors", "metrics.json")
"""What must be the same, bit for bit."""


@dataclass(frozen=True)
class Moment:
    """When an attempt is disturbed, and by what.

    Attributes:
        kind: `time`, `file` or the name of a signal, which comes at a time too.
        share: from 0 to 1, of the time or the calls of the undisturbed run.
        process: the process that is hit.
    """

    kind: str
    share: float
    process: int


@dataclass(frozen=True)
class Undisturbed:
    """The run that others are compared with.

    Attributes:
        folder: its run folder; `states` beside it has the state after each epoch.
        seconds: the time that it took.
        calls: its calls about files.
    """

    folder: RunFolder
    seconds: float
    calls: int

    @property
    def states(self) -> Path:
        """The folder of its states, `1` to `EPOCHS`."""
        return self.folder.path.parent / "states"


@dataclass
class Trial:
    """The outcome of one disturbed and resumed run.

    Attributes:
        method: a key of `METHODS`.
        processes: their number.
        moment: when it was disturbed.
        hit: whether that came before the run was finished.
        epochs: epochs in the state afterwards; None without one.
        lost: what was lost; empty if nothing was.
    """

    method: str
    processes: int
    moment: Moment
    hit: bool
    epochs: int | None
    lost: str


def start(arguments: list[str], log: Path, processes: int, prepare: Callable[[int], None]) -> list[int]:
    """Start a training command in forked processes; returns their ids.

    Args:
        arguments: of `ltzoo train`.
        log: where their output goes.
        processes: their number.
        prepare: called in each of them with its rank.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
                with log.open("a") as file:
                    for stream in (1, 2):
                        os.dup2(file.fileno(), stream)
                if processes > 1:
                    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                    os.environ |= {name: str(value) for name, value in names.items()}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                prepare(rank)
                code = train.main(arguments, "ltzoo train")
            finally:
                os._exit(code)
        children.append(child)
    return children


def wait(children: list[int]) -> list[int]:
    """Wait for processes; once one has ended, the others get ten seconds, as a launcher gives them.

    Returns:
        Their exit codes, negative for a signal.
    """
    codes: dict[int, int] = {}
    deadline = None
    while len(codes) < len(children):
        for child in children:
            if child not in codes:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    codes[child] = os.waitstatus_to_exitcode(status)
                    deadline = deadline or time.monotonic() + 10
                elif deadline and time.monotonic() > deadline and any(codes.values()):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [codes[child] for child in children]


def undisturbed(arguments: list[str], folder: RunFolder, processes: int) -> Undisturbed:
    """Train the run that others are compared with, and keep the state after each epoch."""
    reference = Undisturbed(folder, 0.0, 0)
    counted = reference.states / "calls"
    reference.states.mkdir(parents=True)

    def count_call() -> None:
        os.write(calls, b".")

    def prepare(rank: int) -> None:
        if rank == 0:
            save = Saved.save

            def save_and_keep(saved: Saved, step: Step, epoch: int, row: dict) -> None:
                save(saved, step, epoch, row)
                shutil.copyfile(folder.last_state, reference.states / f"{epoch + 1}")

            Saved.save = save_and_keep  # type: ignore[assignment]
            watch_calls(folder.path, lambda count: count_call())

    calls = os.open(counted, os.O_WRONLY | os.O_CREAT)
    began = time.perf_counter()
    log = reference.states / "log"
    codes = wait(start(arguments, log, processes, prepare))
    os.close(calls)
    if any(codes):
        raise RuntimeError(f"the undisturbed run ended with {codes}: {log.read_text()}")
    return Undisturbed(folder, time.perf_counter() - began, counted.stat().st_size)


def disturbed(arguments: list[str], reference: Undisturbed, folder: RunFolder, processes: int, moment: Moment) -> Trial:
    """Train a run that is disturbed once and resumed, and compare it with the undisturbed one."""
    log = folder.path.parent / "log"
    log.parent.mkdir(parents=True)

    def prepare(rank: int) -> None:
        if moment.kind == "file" and rank == 0:  # the process that writes
            kill_before_call(1 + int(moment.share * reference.calls), folder.path)

    children = start(arguments, log, processes, prepare)
    number = signal.SIGKILL if moment.kind == "time" else getattr(signal, moment.kind, None)
    if number is not None:
        time.sleep(moment.share * reference.seconds)
        os.kill(children[moment.process], number)
    codes = wait(children)
    hit = any(codes)
    epochs, lost = examine(reference, folder, log)
    if not set(codes) <= exit_codes(number, begun=epochs is not None):
        lost += f"exit codes {codes}; "
    resumed = wait(start([*arguments, "--resume"], log, processes, lambda rank: None))
    if any(resumed):
        lost += f"the resumed run ended with {resumed}; "
    else:
        other = [
            name for name in FILES if (folder.path / name).read_bytes() != (reference.folder.path / name).read_bytes()
        ]
        lost += f"other {', '.join(other)}; " if other else ""
        left_over = [path.name for path in folder.path.rglob(".*")]
        lost += f"left over: {', '.join(left_over)}; " if left_over else ""
    if lost:
        sys.stderr.write(log.read_text())
    return Trial("", processes, moment, hit, epochs, lost)


def exit_codes(number: int | None, begun: bool) -> set[int]:
    """Return the exit codes that the processes of a disturbed run may have.

    Args:
        number: the signal; None for a kill before a call about a file.
        begun: whether the run has a state.
    """
    if number is None or number == signal.SIGKILL:
        return {0, 2, -signal.SIGKILL}  # a process whose partner is killed ends with 2
    # During the start-up a signal can come before a process handles it, or before the processes are connected.
    return {0, 128 + number} if begun else {0, 2, 128 + number, -number}


def examine(reference: Undisturbed, folder: RunFolder, log: Path) -> tuple[int | None, str]:
    """Look at the state of a disturbed run: the epochs that it has, and what is wrong with it."""
    reported = log.read_text().count(f"/{EPOCHS}  loss")
    if not folder.last_state.exists():
        return None, "the state is gone; " if reported else ""
    content = folder.last_state.read_bytes()
    for epoch in range(1, EPOCHS + 1):
        if content == (reference.states / str(epoch)).read_bytes():
            return epoch, f"{reported} epochs were reported, {epoch} are saved; " if reported > epoch else ""
    if b"state_within_epoch" in content[:10000]:  # after a signal
        return reported, ""
    return None, "the state is none of the undisturbed run's; "


def draw(count: int, kinds: tuple[str, ...], generator: random.Random) -> list[tuple[str, int, Moment]]:
    """Draw method, processes and moment of so many trials: each method equally often, a quarter in two processes."""
    drawn = []
    for k in range(count):
        processes = 2 if k % 4 == 3 else 1
        moment = Moment(kinds[k // 3 % len(kinds)], generator.random(), generator.randrange(processes))
        drawn.append((list(METHODS)[k % 3], processes, moment))
    return drawn


def survive(kills: int, signals: int, seed: int, output: Path) -> list[Trial]:
    """Make all trials.

    Args:
        kills: runs to kill; a moment that comes after the end of its run is drawn again.
        signals: runs that get SIGTERM or SIGINT.
        seed: of the moments.
        output: a folder for the runs.
    """
    plots.save_figure = lambda figure, path: path.touch()  # painting takes as long as an epoch
    generator = random.Random(seed)
    waiting = draw(kills, ("file", "time"), generator) + draw(signals, ("SIGTERM", "SIGINT"), generator)
    references: dict[tuple[str, int], Undisturbed] = {}
    trials: list[Trial] = []
    while waiting:
        method, processes, moment = waiting.pop(0)
        name = f"resnet20_digitslt_{METHODS[method]}"
        extra = ["--set", "perturbation.gamma=0.5"] if method == "SSE-SAM" else []

        def arguments(place: Path, name: str = name, extra: list[str] = extra) -> list[str]:
            return ["--recipe", name, *OPTIONS.split(), "--output", str(place), *extra]

        if (method, processes) not in references:
            place = output / f"{name}-{processes}"
            references[method, processes] = undisturbed(arguments(place), RunFolder(place / name / "seed0"), processes)
        place = output / f"trial{len(trials)}"
        folder = RunFolder(place / name / "seed0")
        trial = disturbed(arguments(place), references[method, processes], folder, processes, moment)
        trial.method = method
        shutil.rmtree(place)
        trials.append(trial)
        words = "after its end" if not trial.hit else f"{trial.epochs or 0} epochs saved"
        print(f"{method}, {processes} processes, {moment.kind} {moment.share:.3f}: {words}. {trial.lost}", flush=True)
        if not trial.hit:
            waiting.append((method, processes, Moment(moment.kind, generator.random(), moment.process)))
    return trials


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments, resume and compare them.")
    parser.add_argument("--kills", type=int, default=40, metavar="N", help="runs that are killed (%(default)s)")
    parser.add_argument("--signals", type=int, default=8, metavar="N", help="runs that get a signal (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each trial")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as output:
        trials = survive(arguments.kills, arguments.signals, arguments.seed, Path(output))
    hit = [trial for trial in trials if trial.hit]
    print("| method | processes | disturbed by | tried | survived | lost |\n| --- | --- | --- | --- | --- | --- |")
    for key in dict.fromkeys((trial.method, trial.processes, trial.moment.kind) for trial in hit):
        alike = [trial for trial in hit if (trial.method, trial.processes, trial.moment.kind) == key]
        lost = sum(bool(trial.lost) for trial in alike)
        print(f"| {' | '.join(map(str, key))} | {len(alike)} | {len(alike) - lost} | {lost} |")
    lost = sum(bool(trial.lost) for trial in trials)
    print(f"{len(hit)} runs disturbed, {len(hit) - sum(bool(trial.lost) for trial in hit)} survived, {lost} lost")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(trial) for trial in trials], indent=1) + "\n", encoding="utf-8")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
