"""Strategies: variants of JSON, YAML and CSV, with hostile values in the place of valid ones."""

import copy
import json
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.hostile.damage import Draw, damaged

PATHS = [
    "../outside.png",
    "../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "C:\\x",
    "..\\x",
    ".",
    "..",
    "a\0b",
    "x" * 5000,
]


TEXTS = [
    "",
    " ",
    "\n",
    "nan",
    "inf",
    "-1",
    "1e999",
    "\ud800",
    "\ufeff",
    "\u202e",
    "\x1b[2J",
    "é" * 300,
    "a,b",
    '"',
    "=1+1",
    "{{data}}",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "__proto__",
    "hf-hub:a/b",
    *PATHS,
]


NUMBERS = [
    0,
    -1,
    1,
    2,
    255,
    10**6,
    2**31,
    2**53,
    2**63,
    -(2**63),
    10**12,
    10**30,
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
]


VALUES: list[Any] = [
    None,
    *NUMBERS,
    *TEXTS,
    [],
    {},
    [[]],
    [None],
    [1, 2],
    {"": 0},
    {"name": "x"},
    ["x"] * 3,
    [1e308, float("nan")],
]


def deep(depth: int, kind: str) -> str:
    """Text of nested lists or objects."""
    return "[" * depth + "]" * depth if kind == "list" else '{"a":' * depth + "1" + "}" * depth


def places_in(document: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values in a document."""
    found = [path]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        found += places_in(value, (*path, key))
    return found


@st.composite
def changed(draw: Draw, document: Any) -> Any:
    """Replace, remove, add or move values of a document."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places_in(found)))
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))  # a later change may be within it
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return value
            continue
        holder = found
        for key in path[:-1]:
            holder = holder[key]
        old = holder[path[-1]]
        match draw(st.integers(0, 8)):
            case 0:
                del holder[path[-1]]
            case 1 if isinstance(holder, dict):
                holder[draw(st.sampled_from(TEXTS))] = value
            case 2 if isinstance(old, list):
                old.extend(copy.deepcopy(old) or [value])
            case 3 if isinstance(old, list) and old:
                old.pop()
            case 4:
                holder[path[-1]] = [old]
            case 5 if type(old) in (int, float):
                holder[path[-1]] = draw(st.sampled_from(NUMBERS))
            case 6 if isinstance(old, str):
                holder[path[-1]] = draw(st.sampled_from(TEXTS))
            case 7 if isinstance(holder, dict):
                holder[path[-1]] = holder[draw(st.sampled_from(sorted(holder, key=str)))]
                holder[path[-1]] = copy.deepcopy(holder[path[-1]])
            case _:
                holder[path[-1]] = value
    return found


@st.composite
def json_texts(draw: Draw, content: bytes) -> bytes:
    """Variants of a JSON text."""
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return draw(damaged(content))
    if kind == 3:
        return draw(st.sampled_from(_JSON_BOMBS))
    document = draw(changed(json.loads(content)))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    if kind == 4 and text.startswith("{") and len(text) > 2:
        text = text[:-1] + ", " + text[1:]  # every key twice
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-8", "utf-16"])), "surrogatepass")


_JSON_BOMBS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"x"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"1" * 10**6,
    *(deep(depth, kind).encode() for depth in (70, 500, 900, 990, 100_000) for kind in ("list", "object")),
    b'{"a": 1, "a": 2}',
    b'"\\ud800"',
    b"[" + b"0," * 10**5 + b"0]",
    b" " * 10**6,
    b"\xff\xfe[\0]\0",
]


@st.composite
def yaml_texts(draw: Draw, content: bytes) -> bytes:
    """Variants of a YAML text."""
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return draw(damaged(content))
    if kind == 3:
        return draw(st.sampled_from(YAML_BOMBS))
    lines = content.decode().splitlines(keepends=True)
    if kind == 4:
        place = draw(st.integers(0, len(lines) - 1))
        inserted = draw(st.sampled_from(YAML_BOMBS)).decode("utf-8", "replace")
        return "".join([*lines[:place], inserted, "\n", *lines[place:]]).encode("utf-8", "surrogatepass")
    if kind == 5:
        place = draw(st.integers(0, len(lines) - 1))
        key = lines[place].partition(":")[0]
        lines[place] = f"{key}: {draw(st.sampled_from(_YAML_VALUES))}\n"
        return "".join(lines).encode()
    document = draw(changed(yaml.safe_load(content)))
    text = yaml.dump(document, sort_keys=False, allow_unicode=draw(st.booleans()))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16"])), "surrogatepass")


def yaml_bomb(levels: int, merge: bool = False) -> bytes:
    """Ten aliases of ten aliases, and so on."""
    begin = "a0: &a0 {x: 1}\n" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    inner = "{{<<: [{}]}}" if merge else "[{}]"
    lines = [f"a{k}: &a{k} " + inner.format(", ".join([f"*a{k - 1}"] * 10)) + "\n" for k in range(1, levels)]
    return (begin + "".join(lines)).encode()


_YAML_VALUES = [
    "!!python/object/apply:os.system ['touch /tmp/never']",
    "!!python/name:os.system",
    "!!timestamp 2001-99-99",
    "!!binary ???",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!int x",
    "!!float x",
    ".nan",
    ".inf",
    "-.inf",
    "1e999",
    "0x" + "f" * 999,
    "1:1:1:1",
    "9" * 5000,
    "2001-01-01",
    "~",
    "&a [*a]",
    "*unknown",
    "[",
    "{",
    '"\\ud800"',
    "'",
    "<<",
    "{<<: 1}",
    "!!bool x",
    "? [a] : b",
    "{[a]: 1}",
    "{{a: 1}: 2}",
    "|",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]",
    "!<x> 1",
    "!!str 1",
    "=",
    "10_000",
]


YAML_BOMBS = [
    b"",
    b"---",
    b"- 1",
    b"x",
    b"--- 1\n--- 2",
    b"%YAML 9.9\n---\nx",
    yaml_bomb(9),
    yaml_bomb(30),
    yaml_bomb(9, merge=True),
    b"a: &a\n  b: *a",
    b"&a [*a]",
    b"a: 1\na: 2",
    deep(100, "list").encode(),
    deep(900, "list").encode(),
    deep(900, "object").encode(),
    b"\xff\xfe",
    b"\xef\xbb\xbfa: 1",
    b"- " * 3000,
    b"? " * 3000,
    b"a" * 10**5,
    b"[" * 5000,
    b"x: " + b"9" * 5000,
    b"\t",
    b"\0",
    *(b"x: " + value.encode() for value in _YAML_VALUES),
]


@st.composite
def csv_texts(draw: Draw, content: bytes) -> bytes:
    """Variants of a CSV text or a list."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(content))
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        place = draw(st.integers(0, len(row)))
        match draw(st.integers(0, 4)):
            case 0:
                row.insert(place, draw(st.sampled_from(TEXTS)))
            case 1:
                del row[place:]
            case 2:
                rows.insert(draw(st.integers(0, len(rows))), list(row))
            case 3:
                rows.insert(draw(st.integers(0, len(rows))), [draw(st.sampled_from(_CELLS))])
            case _ if row:
                row[place % len(row)] = str(draw(st.sampled_from([*TEXTS, *_CELLS, *(str(n) for n in NUMBERS)])))
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])).join(",".join(row) for row in rows)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"])), "surrogatepass")


_CELLS = [
    '"',
    '"a\nb"',
    '""',
    "'",
    "x" * 200_000,
    "0x1p4",
    "1_0",
    "٣",
    "½",
    "\x0b",
    "\u2028",
    "a b",
    "1" * 400,
    "+5",
    " 5 ",
]


@st.composite
def manifests(draw: Draw, content: bytes) -> bytes:
    """Variants of `SHA256SUMS`."""
    lines = content.decode().splitlines()
    if draw(st.booleans()):
        lines[draw(st.integers(0, len(lines) - 1))] = f"{'0' * 64}  {draw(st.sampled_from([*PATHS, *TEXTS]))}"
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    return draw(damaged(content))


@st.composite
def cards(draw: Draw, content: bytes) -> bytes:
    """Variants of a model card: of its YAML header, or of all."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(content))
    _, header, body = content.split(b"---\n", 2)
    return b"---\n" + draw(yaml_texts(header)) + b"\n---\n" + body
