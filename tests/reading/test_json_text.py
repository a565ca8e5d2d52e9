"""JSON: what is right is read as Python reads it; what is doubtful is refused with a reason."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import DEEPEST, parse_json, read_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_plain_values_come_back(document, ascii_only, encoding):
    text = json.dumps(document, ensure_ascii=ascii_only)
    assert parse_json(text.encode(encoding)) == document
    assert parse_json(text) == document


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"\xff", "it is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8"),
        (b"NaN", "it has the number NaN, which JSON does not know"),
        (b"[-Infinity]", "it has the number -Infinity"),
        (b"1e999", "it has the number 1e999, which is too large"),
        (b"0." + b"1" * 10**6, "too large or too long"),
        (b"9223372036854775808", "more than 64 bits"),
        (b"1" * 5000, "more than 64 bits"),
        (b'{"a": 1, "b": 2, "a": 3}', "it has the key 'a' twice"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "half of a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested more than 64 levels deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested"),
    ],
)
def test_what_is_refused(content, reason):
    with pytest.raises(ContentError, match=reason) as refused:
        parse_json(content)
    assert len(str(refused.value)) < 300


def test_the_deepest_that_is_read():
    assert json.dumps(parse_json("[" * DEEPEST + "]" * DEEPEST)) == "[" * DEEPEST + "]" * DEEPEST


def test_a_whole_surrogate_pair_is_a_letter():
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_only_the_keys_asked_for_are_kept():
    assert parse_json(b'{"a": [{"a": 1, "c": 2}], "b": 3}', keys=("a", "b")) == {"a": [{"a": 1}], "b": 3}
    with pytest.raises(ContentError, match="twice"):
        parse_json(b'{"c": 1, "c": 2}', keys=("a",))


def test_a_file_that_is_missing_too_long_or_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("[" + "0," * 2**20 + "0]")
    for name, reason in (
        ("missing", "No such file"),
        ("pipe", "a pipe or a device"),
        ("long", "more than the 1.0 allowed"),
    ):
        with pytest.raises(ContentError, match=reason):
            read_json(tmp_path / name, megabytes=1)
