"""YAML of plain values: no types of Python, unique keys, aliases only as far as they stay small."""

import math
from pathlib import Path
from typing import Any

import yaml

from ltzoo.reading.content import read_content
from ltzoo.reading.errors import ContentError, why

KILOBYTE = 2**10
DEEPEST = 32
_MOST_NODES = 100_000
"""Values after all aliases are written out. Ten aliases of ten aliases, and so on, would fill the memory."""

_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path, kilobytes: int = 256) -> Any:
    """Read a YAML file, see `parse_yaml`.

    Args:
        path: the file.
        kilobytes: the largest size allowed, in KiB.

    Raises:
        ContentError: it cannot be read, is too long, or is refused.
    """
    try:
        return parse_yaml(read_content(path, kilobytes * KILOBYTE))
    except OSError as error:
        raise ContentError(why(error)) from error


def parse_yaml(content: bytes | str) -> Any:
    """Parse one YAML document in UTF-8, with or without a byte order mark, as `yaml.safe_load` does.

    Raises:
        ContentError: it is no YAML; a key is there twice; an alias contains itself or makes it too large; a number is
            NaN or infinite; or it is nested too deeply.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Measured().measure(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except ContentError:
        raise
    except UnicodeDecodeError as error:
        raise ContentError("it is not UTF-8") from error
    except RecursionError as error:
        raise ContentError("it is nested too deeply") from error
    # For an impossible date, tag or number PyYAML raises other errors than its own.
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, OverflowError, LookupError) as error:
        raise ContentError(f"it is no YAML: {why(error)}") from error


class _Measured:
    """The size and depth of each node with all aliases written out, computed before any value is built."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}
        self.open: set[int] = set()

    def measure(self, node: yaml.Node) -> tuple[int, int]:
        """Return the number of values below a node, itself included, and the levels."""
        if id(node) in self.known:
            return self.known[id(node)]
        if id(node) in self.open:
            raise ContentError("an alias in it contains itself")
        self.open.add(id(node))
        below: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            below = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        elif isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
        found = [self.measure(part) for part in below]
        size, depth = 1 + sum(size for size, _ in found), 1 + max((depth for _, depth in found), default=0)
        if size > _MOST_NODES:
            raise ContentError(f"it has more than {_MOST_NODES} values, with its aliases written out")
        if depth > DEEPEST:
            raise ContentError(f"it is nested more than {DEEPEST} levels deep")
        self.open.remove(id(node))
        self.known[id(node)] = size, depth
        return size, depth


def _check_keys(node: yaml.MappingNode) -> None:
    keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
    if len(set(keys)) < len(keys):
        twice = next(value for tag, value in keys if keys.count((tag, value)) > 1)
        raise ContentError(f"it has the key {twice[:40]!r} twice")


def _check_scalar(node: yaml.ScalarNode) -> None:
    if node.tag == "tag:yaml.org,2002:float" and not math.isfinite(_number(node.value)):
        raise ContentError(f"it has the number {node.value[:40]}, which is not finite")
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > 40:
        raise ContentError(f"it has the number {node.value[:40]}..., which is too long")


def _number(text: str) -> float:
    try:
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # in base 60, which is finite
        return 0.0
