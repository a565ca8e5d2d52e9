"""YAML: plain values as `yaml.safe_load` reads them; bombs and programs are refused before they are built."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ltzoo.reading.errors import ContentError
from ltzoo.reading.yaml_text import parse_yaml, read_yaml
from tests.hostile.texts import yaml_bomb

TEXT = st.text("abcé :-#'\"\n1.", max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(PLAIN, st.booleans())
def test_plain_values_are_read_as_yaml_reads_them(document, with_aliases):
    document = [document, document] if with_aliases else document
    text = yaml.safe_dump(document, allow_unicode=True)
    assert parse_yaml(text.encode()) == yaml.safe_load(text)


def test_aliases_and_merged_keys_are_read():
    assert parse_yaml("a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2}") == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}}
    assert parse_yaml(b"\xef\xbb\xbfa: 1\r\n") == {"a": 1}
    assert parse_yaml(b"") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (yaml_bomb(9), "more than 100000 values, with its aliases written out"),
        (yaml_bomb(9, merge=True), "more than 100000 values"),
        ("a: &a [*a]", "an alias in it contains itself"),
        ("a: 1\na: 2", "it has the key 'a' twice"),
        ("a: {b: {c: 1, c: 2}}", "it has the key 'c' twice"),
        ("a: .nan", "the number .nan, which is not finite"),
        ("a: -.INF", "not finite"),
        ("a: 1.0e+999", "not finite"),
        ("a: " + "9" * 5000, "which is too long"),
        ("!!python/object/apply:os.system ['touch never']", "it is no YAML"),
        ("!!python/name:os.system", "it is no YAML"),
        ("a: 2001-99-99", "it is no YAML"),
        ("a: !!int x", "it is no YAML"),
        ("{[a]: 1}", "it is no YAML"),
        ("1\n---\n2", "it is no YAML"),
        ("[" * 40 + "]" * 40, "nested more than 32 levels deep"),
        ("[" * 1500, "nested too deeply"),
        ("a0: &a0 []\n" + "".join(f"a{k}: &a{k} [*a{k - 1}]\n" for k in range(1, 60)), "nested more than 32"),
        (b"\xff", "it is not UTF-8"),
    ],
)
def test_what_is_refused(text, reason):
    began = time.process_time()
    with pytest.raises(ContentError, match=reason) as refused:
        parse_yaml(text)
    assert time.process_time() - began < 3
    assert len(str(refused.value)) < 300


def test_a_long_file_is_not_read(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1\n" * 100_000)
    with pytest.raises(ContentError, match=r"more than the 0\.2 allowed"):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(ContentError, match="No such file"):
        read_yaml(tmp_path / "b.yaml")
