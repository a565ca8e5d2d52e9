"""How messages quote other texts: on one line, nothing that a terminal would obey, and the cause is not cut off."""

import pytest

from ltzoo.errors import counted, first_few, first_line, printable, shortened, shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a cat, 猫 and é", "a cat, 猫 and é"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\udcff\n\u202e\u2028", r"a\udcff\n\u202e\u2028"),
        ("it's \\", "it's \\"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, escaped):
    assert printable(text) == escaped
    assert printable(text).isprintable()
    printable(text).encode()


def test_a_value_is_quoted_and_not_at_full_length():
    assert shown("a\n") == r"'a\n'"
    assert len(shown(["x" * 1000])) == 205 and shown(["x" * 1000]).endswith("xx']")


def test_beginning_and_end_of_a_long_text_are_kept():
    text = "while reading\n" + "x" * 1000 + "\nNo space left on device"
    assert len(shortened(text, 100)) == 105
    assert shortened(text, 100).startswith("while reading x") and shortened(text, 100).endswith(
        "No space left on device"
    )
    assert shortened("two\n lines") == "two lines"


def test_the_first_line_is_the_first_with_a_text():
    assert first_line(ValueError("\n  \n  why\nmore")) == "why"
    assert first_line(MemoryError()) == first_line(MemoryError("\n")) == "MemoryError"


def test_of_many_names_the_first_few_are_joined_each_on_one_line():
    assert first_few(["a", "b\n", "c"]) == r"a, b\n, c"
    assert first_few(["a"] * 6) == "a, a, a, a, a, ..."
    assert first_few(["a", "b", "c"], 2, " = ") == "a = b = ..."
    assert first_few([]) == ""


def test_a_noun_follows_its_number():
    assert (counted(1, "image"), counted(0, "image"), counted(2000, "image")) == ("1 image", "0 images", "2,000 images")
    assert (counted(1, "class", "classes"), counted(2, "class", "classes")) == ("1 class", "2 classes")
