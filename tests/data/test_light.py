"""`ltzoo.data` itself is quick to import, since every recipe is composed of it: it loads no image library."""

import ast
import sys
from pathlib import Path

import ltzoo

PACKAGE = Path(ltzoo.__file__).parent
LIGHT = {"numpy", "torch"}


def imported_at_once(module):
    """What a module of ltzoo imports when it is imported itself: other than in its functions."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_package_imports_no_image_library():
    found, waiting, seen = set(), ["ltzoo.data"], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in imported_at_once(module):
            parts = name.split(".")
            if parts[0] == "ltzoo":
                waiting += [".".join(parts[: k + 1]) for k in range(1, len(parts))]  # a package runs before its modules
            else:
                found.add(parts[0])
    assert "ltzoo.data.sampler" in seen
    assert "torch" in found
    third_party = {name for name in found if name not in sys.stdlib_module_names}
    assert third_party == LIGHT
