"""Tables of numbers."""

import pytest

from ltzoo.reading.errors import ContentError
from ltzoo.reading.tables import parse_numbers


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_columns_are_read_by_name(ends, mark):
    text = mark + ends.join(["x,a,b", "words,1,", ",2.5,-3e1", ""])
    assert parse_numbers(text.encode(), ("b", "a")) == [{"b": None, "a": 1.0}, {"b": -30.0, "a": 2.5}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the column a 0 times"),
        (b"b\n1\n", "the column a 0 times"),
        (b"a,a\n1,2\n", "the column a 2 times"),
        (b"a\n1,2\n", "row 1 has 2 cells, not 1"),
        (b"a,b\n1\n", "row 1 has 1 cells, not 2"),
        (b"a\nnan\n", "'nan', which is no finite number"),
        (b"a\n1e999\n", "no finite number"),
        (b"a\nx\n", "'x', which is no finite number"),
        (b"a\n\xff\n", "it is no table in UTF-8"),
        (b'a\n"\n', "it is no table"),
        (b"a\n" + b"1" * 200_000, "it is no table"),
        (b"a\n\0\n", "no finite number|it is no table"),
    ],
)
def test_what_is_refused(content, reason):
    with pytest.raises(ContentError, match=reason) as refused:
        parse_numbers(content, ("a",))
    assert len(str(refused.value)) < 300
