"""docs/choosing.md: each command names recipes and fields that there are."""

import re
import shlex
from pathlib import Path

import pytest

import choose
from ltzoo.errors import InputError

PAGE = (Path(__file__).parents[1] / "docs" / "choosing.md").read_text(encoding="utf-8").replace("\\\n", "")
(LOSSES,) = set(re.findall(r"^for loss in (.*); do$", PAGE, re.M))
COMMANDS = [
    line.strip().replace("${loss}", loss)
    for line in re.findall(r"^ *python hub/choose\.py resnet.*", PAGE, re.M)
    for loss in (LOSSES.split() if "${loss}" in line else [""])
]


def test_the_page_has_commands_for_the_digits_and_both_cifars():
    assert {re.search("(digitslt|cifar100lt|cifar10lt)_", command).group(1) for command in COMMANDS} == {
        "digitslt",
        "cifar10lt",
        "cifar100lt",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_can_be_run(command, monkeypatch, capsys):
    asked = []

    def train_all(jobs, side_by_side):
        asked.extend(jobs)
        raise InputError("enough")

    monkeypatch.setattr(choose, "train_all", train_all)
    assert choose.main(shlex.split(command)[2:]) == 2
    assert capsys.readouterr().err == "choose.py: error: enough\n"
    assert len(asked) > 1
