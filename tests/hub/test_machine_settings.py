"""Settings of the machine in a build: which runs share a process, which are repeated, what the doctor recommends."""

import json
import re
import signal
from dataclasses import replace

import pytest
import torch

import build
import machine_settings
import run_queue
import worker
from ltzoo.doctor import Report
from ltzoo.doctor.report import Advice, Check, Machine
from ltzoo.recipes import registry
from ltzoo.train.device import cores, device_name
from tests.hub.builds import ONE, Told


@pytest.fixture
def on_cuda(folders, monkeypatch):
    """Four recipes of one kind, and three of others: another length, precision, architecture."""
    monkeypatch.setattr(machine_settings.torch.cuda, "is_available", lambda: True)
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
    monkeypatch.setattr(run_queue, "collect", lambda *arguments: ["it is collected"])
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 0
    said = capsys.readouterr().out
    assert [words(told.names(number)) for number in range(2)] == [["a", "b", "c", "d"], ["b"]]
    assert (
        "retrying alone: resnet20_digitslt_b_sgd, seed 0: ltzoo train: error: resnet20_digitslt_b_sgd.seed0 ran" in said
    )
    assert "runs: 4 finished, 0 failed, 0 stopped, 0 not started" in said


def test_of_several_runs_that_fail_each_is_given_its_own_reason(on_cuda, monkeypatch, capsys):
    names, folders = on_cuda
    a, b, c, d = (f"resnet20_digitslt_{word}_sgd" for word in "abcd")
    why = f"ltzoo train: error: {a}.seed0: TypeError: x; y; {b}.seed0 ran out of memory (CUDA); {c}.seed01: no\n"
    told = Told((2, why), *[(2, "ltzoo train: error: no\n")] * 4)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 1
    said = capsys.readouterr().out
    assert f"retrying alone: {a}, seed 0: ltzoo train: error: {a}.seed0: TypeError: x; y\n" in said
    assert f"retrying alone: {b}, seed 0: ltzoo train: error: {b}.seed0 ran out of memory (CUDA)\n" in said
    # What no part is about gets the whole line.
    assert f"retrying alone: {d}, seed 0: {why}" in said


def test_what_had_not_started_when_the_process_died_is_not_counted_as_failed(on_cuda, tmp_path, monkeypatch, capsys):
    names, folders = on_cuda
    run = {word: tmp_path / "output" / f"resnet20_digitslt_{word}_sgd" / "seed0" for word in "abcd"}
    died = -signal.SIGSEGV, f"resnet20_digitslt_a_sgd.seed0: {run['a']}: 40 epochs on cuda, float32\n"
    told = Told(died, finish_all(run[word] for word in "bcd"), died, died)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    monkeypatch.setattr(run_queue, "collect", lambda *arguments: ["it is collected"])
    assert build.main([names[k] for k in (0, 1, 3, 6)] + folders) == 1
    said = capsys.readouterr().out
    assert [words(told.names(number)) for number in range(3)] == [["a", "b", "c", "d"], ["b", "c", "d"], ["a"]]
    assert said.count("killed by SIGSEGV") == 2
    assert "runs: 3 finished, 1 failed, 0 stopped, 0 not started" in said


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
    assert said.count("retrying alone: ") == 2
    assert "retrying alone: resnet20_digitslt_one_sgd, seed 0: killed by SIGKILL" in said
    assert "retrying alone: resnet20_digitslt_one_sgd, seed 0: TypeError: a fault" in said
    assert said.count("failed: resnet20_digitslt_one_sgd, seed 0: ltzoo train: error: no") == 3


MACHINE = Machine("cpu", device_name(torch.device("cpu")), 1, 25.0, 20.0, "AVX512", None, cores(), {})


FOUND = Report(MACHINE, 19.0, (), (Check("device", "ok", ""),), Advice("bfloat16", 2, False, 3, 1), 20.0)


def written(path, report):
    path.write_text(json.dumps(report.to_dict()))
    return str(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the report is one of a CPU")
def test_a_build_follows_the_doctor_where_no_option_says_otherwise(folders, tmp_path):
    file = written(tmp_path / "doctor.json", FOUND)
    parse = build.build_parser().parse_args
    found = machine_settings.machine_settings(parse([ONE, "--doctor", file, *folders]))
    assert found == machine_settings.MachineSettings(3, False, 1, False, "bfloat16", False)
    assert found.options(resumed=False) == ["--threads", "1", "--set", "precision=bfloat16"]
    assert found.options(resumed=True) == ["--set", "precision=bfloat16"]
    asked = parse([ONE, "--doctor", file, "--jobs", "1", "--threads", "2", "--precision", "float32", *folders])
    assert machine_settings.machine_settings(asked) == machine_settings.MachineSettings(
        1, False, 2, True, "float32", False
    )


def test_on_a_gpu_a_build_follows_the_doctor(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(machine_settings.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine_settings, "device_name", lambda device: "NVIDIA H200")
    machine = replace(MACHINE, device="cuda", name="NVIDIA H200")
    wrong = (Check("capture", "wrong", "they differ"),)
    report = replace(FOUND, machine=machine, checks=wrong, advice=Advice("tf32", None, False, 8, None))
    file = written(tmp_path / "doctor.json", report)
    found = machine_settings.machine_settings(build.build_parser().parse_args([ONE, "--doctor", file, *folders]))
    assert found == machine_settings.MachineSettings(8, True, None, False, "tf32", True)
    assert found.options(resumed=False) == ["--side-by-side", "8", "--set", "precision=tf32", "--eager"]
    asked = build.build_parser().parse_args([ONE, "--doctor", file, "--threads", "2", *folders])
    assert machine_settings.machine_settings(asked).options(resumed=True)[:2] == ["--threads", "2"]


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
