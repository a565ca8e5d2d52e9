"""For tests of hub/build.py: recipes of one step per epoch, the folders of a build, and stand-ins for workers."""

import contextlib
import sys
from pathlib import Path

import pytest

from ltzoo.__main__ import main as ltzoo_main
from ltzoo.recipes import registry

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
