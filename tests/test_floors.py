"""The house's floors: each module imports only from its own room and from lower floors."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ltzoo"
FLOORS = {
    "errors": -1,  # what all others raise
    "versions": -0.5,  # whether a newer version wrote a file
    "atomic_write": 0,
    "hub_errors": 0,
    "reading": 0.5,  # it imports the errors, and data imports it
    "sharpness": 1,
    "losses": 1,
    "models": 1,
    "data": 1,
    "register_with_timm": 1,
    "recipes": 2,
    "evaluate": 2,
    "checkpoints": 3,
    "registry": 4,
    "train": 5,
    "landscape": 5,
    "report": 5,
    "doctor": 6,
    "cli": 7,
    "__main__": 8,  # the door to the command line
}
FACE = 4
"""`ltzoo` itself shows what the registry has: who imports it stands above."""
TORCH_ALONE = {"sharpness", "losses"}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


def imported(source, module):
    """The modules that a module imports, wherever in it; `from ltzoo import hub` imports ltzoo.checkpoints."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = ["ltzoo", *module.split(".")][: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"ltzoo.{alias.name}" for alias in node.names) if base == "ltzoo" else [base]


def faults(source, module):
    """The imports that the floors forbid."""
    room = module.split(".")[0]
    found = []
    for name in imported(source, module):
        top, *below = name.split(".")
        if top != "ltzoo":
            if room in TORCH_ALONE and top != "torch" and top not in sys.stdlib_module_names:
                found.append(name)
            continue
        other = below[0] if below and below[0] in FLOORS else None  # `from ltzoo import get_recipe`: the face
        floor = FACE if other is None else FLOORS[other]
        lower = floor < FLOORS[room] and room not in TORCH_ALONE
        if other != room and not lower:
            found.append(name)
    return found


def test_every_room_has_a_floor():
    rooms = {module.split(".")[0] for module in MODULES}
    assert rooms <= set(FLOORS)
    assert {"sharpness", "losses", "models", "data", "recipes", "evaluate", "checkpoints", "registry", "train"} <= rooms


def test_every_module_imports_only_from_its_room_and_below():
    found = {module: faults(source, module) for module, source in sorted(MODULES.items())}
    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("data.cifar", "from ltzoo.recipes import Recipe", ["ltzoo.recipes"]),
        ("data.cifar", "import ltzoo.losses.vs as vs", ["ltzoo.losses.vs"]),
        ("data.cifar", "from .. import checkpoints", ["ltzoo.checkpoints"]),
        ("data.cifar", "from ..errors import InputError\nfrom . import groups\nfrom .groups import Groups", []),
        ("data.__init__", "def late():\n    from ltzoo import registry", ["ltzoo.registry"]),
        ("evaluate.seeds", "from ltzoo.recipes import Recipe\nfrom ltzoo.data import Groups", ["ltzoo.recipes"]),
        ("registry", "from ltzoo import checkpoints\nfrom ltzoo.recipes import Recipe", []),
        ("registry", "import ltzoo", ["ltzoo"]),
        ("train.trainer", "import ltzoo\nfrom ltzoo import get_recipe\nfrom ltzoo.registry import get_recipe", []),
        ("train.trainer", "from ltzoo.cli.parser import Parser", ["ltzoo.cli.parser"]),
        ("losses.vs", "import math\nimport torch.nn.functional\nfrom ltzoo.losses.counts import as_counts", []),
        ("losses.vs", "import numpy\nimport timm", ["numpy", "timm"]),
        ("sharpness.table", "from ltzoo.errors import InputError", ["ltzoo.errors"]),
    ],
)
def test_forbidden_imports_are_seen(module, source, expected):
    assert faults(source, module) == expected
