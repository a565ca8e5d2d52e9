"""The `ltzoo` command: it names its subcommands, hands on to them, and each one's help ends with an example."""

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ltzoo
from ltzoo.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("argv", "message"), [([], "a command is missing"), (["tarin"], "'tarin' is no command")])
def test_a_wrong_command_is_one_line_that_names_all(argv, message, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ltzoo: error: {message}") and error.count("\n") == 1
    assert all(name in error for name in COMMANDS)


def test_a_command_is_handed_its_arguments(capsys):
    assert main(["show", "resnet20_digitslt_ce_sgd"]) == 0
    assert "name: resnet20_digitslt_ce_sgd" in capsys.readouterr().out
    assert main(["show", "resnet20_digitslt_ce_sgm"]) == 2
    assert capsys.readouterr().err.startswith("ltzoo show: error: no recipe is called 'resnet20_digitslt_ce_sgm'")


_INTERRUPTED = """
import builtins, runpy, sys
given = builtins.__import__
def interrupted(name, *rest, **more):
    if name.startswith("ltzoo.recipes"):
        raise KeyboardInterrupt
    return given(name, *rest, **more)
builtins.__import__ = interrupted
sys.argv = {words!r}
runpy.run_{kind}({what!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("kind", "what", "words", "prog"),
    [
        ("module", "ltzoo", ["ltzoo", "list"], "ltzoo list"),
        ("path", str(ROOT / "train.py"), ["train.py", "--recipe", "resnet20_digitslt_ce_sgd"], "train.py"),
        ("path", str(ROOT / "validate.py"), ["validate.py", "--model", "resnet20_digitslt_ce_sgd"], "validate.py"),
    ],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(kind, what, words, prog):
    code = _INTERRUPTED.format(kind=kind, what=what, words=words)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (130, f"{prog}: interrupted\n")


@pytest.mark.parametrize(("rank", "local_rank", "lines"), [(0, 0, 1), (1, 1, 0), (8, 0, 1), (9, 1, 0)])
def test_the_first_process_of_each_machine_says_what_it_refuses(rank, local_rank, lines, monkeypatch, capsys):
    """Before they have met: a file can be missing on one machine alone."""
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    assert main(["show", "no_such_recipe"]) == 2
    assert capsys.readouterr().err.count("no recipe is called") == lines


@pytest.mark.parametrize("name", ["loop", "x" * 300, "missing/x"])
@pytest.mark.parametrize(
    "line",
    [
        "validate --model resnet20_digitslt_ce_sgd --json FILE",
        "validate --model resnet20_digitslt_ce_sgd --results-file FILE",
        "subset resnet20_digitslt_ce_sgd --output FILE",
    ],
)
def test_a_file_that_cannot_be_written_is_one_line_that_names_it(line, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    try:
        code = main(line.replace("FILE", name).split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and name[:20] in error
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS) and "\nexample:\n  ltzoo " in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ltzoo {ltzoo.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_ends_with_examples_that_it_understands(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    _, *examples = capsys.readouterr().out.partition("\nexample")[2].splitlines()
    assert examples
    for example in examples:
        program, *words = shlex.split(example.removeprefix("  accelerate launch -m ").partition(" > ")[0])
        assert (program, words[0]) == ("ltzoo", name)
        importlib.import_module(f"ltzoo.cli.{name}").build_parser(f"ltzoo {name}").parse_args(words[1:])
