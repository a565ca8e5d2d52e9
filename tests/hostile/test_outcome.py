"""The judge sees each kind of fault, and lets right values and clear refusals pass."""

import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import hostile_files
from ltzoo.errors import InputError
from tests.hostile import explore as exploring
from tests.hostile.outcome import FaultError, Reader, not_finite, outcome


def reader(read):
    return Reader("made", lambda folder: (folder / "a.json").write_text("1"), "a.json", read, lambda _: st.just(b"2"))


def raises(error):
    def read(folder):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (raises(KeyError("x")), "KeyError.*'x'"),
        (raises(RecursionError()), "RecursionError"),
        (raises(SystemExit(1)), "SystemExit"),
        (raises(InputError("something is wrong")), "names no file"),
        (raises(InputError("in this case something is wrong")), "names no file"),  # the folder is called case
        (raises(InputError("a.json is\nwrong")), "is not one line"),
        (raises(InputError("a.json: " + "x" * 3000)), "is not one line"),
        (raises(InputError("a.json: cannot allocate memory")), "memory was asked for"),
        (lambda folder: {"a": [1.0, float("nan")]}, "a figure is nan"),
        (lambda folder: subprocess.run(["true"], check=True), "a program or a connection: subprocess.Popen"),
        (lambda folder: (folder.parent / "outside.png").read_bytes(), "outside.png was opened"),
        (lambda folder: Path("/etc/passwd").read_bytes(), "/etc/passwd was opened"),
        (lambda folder: Path(__file__).open("a").close(), "test_outcome.py was opened for writing"),
        (lambda folder: np.ones(2**33, np.uint8).sum(), "MemoryError"),
    ],
)
def test_a_fault_is_seen(read, fault, tmp_path):
    (tmp_path / "outside.png").write_bytes(b"1")
    folder = tmp_path / "case"
    folder.mkdir()
    with pytest.raises(FaultError, match=fault):
        outcome(reader(read), folder, b"2")


def test_a_value_and_a_refusal_are_told_apart(tmp_path):
    assert outcome(reader(lambda folder: (folder / "a.json").read_bytes()), tmp_path, b"2") == "right"
    assert outcome(reader(raises(InputError("a.json is damaged; write it again"))), tmp_path, b"2") == "refused"


@pytest.mark.parametrize("value", [math.inf, (1, [-math.inf]), {"a": {"b": math.nan}}, torch.tensor([1.0, math.nan])])
def test_numbers_that_are_not_finite_are_found_wherever_they_are(value):
    assert not_finite(value)
    assert not not_finite([1, 2.5, "nan", None, True, torch.tensor([1])])


def test_the_command_counts_and_keeps_what_came_to_a_fault(tmp_path, capsys, monkeypatch):
    made = reader(lambda folder: {"2": math.nan, "1": 0.0}[(folder / "a.json").read_text()])
    monkeypatch.setitem(exploring.READERS, "made", made)
    arguments = ["--minutes", "0.001", "--output", str(tmp_path / "kept")]
    assert hostile_files.main([*arguments, "--reader", "made"]) == 1
    said = capsys.readouterr()
    (tried,) = re.findall(r"\| made \| (\d+) \| 0 \| 0 \| (\d+) \|", said.out)
    assert tried[0] == tried[1] != "0"
    assert "made: a figure is nan" in said.err
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [b"2"]
    assert hostile_files.main([*arguments, "--reader", "saved Lanczos steps"]) == 0
    assert "| saved Lanczos steps | 60 | " in capsys.readouterr().out
    assert hostile_files.main([*arguments, "--reader", "nothing"]) == 2
    assert "there is no reader 'nothing'; there are config.json" in capsys.readouterr().err
