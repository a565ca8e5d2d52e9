"""Damage at random: bytes flipped, cut, inserted and moved."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]


Contents = st.SearchStrategy[bytes]


@st.composite
def damaged(draw: Draw, content: bytes) -> bytes:
    """Flip, cut, insert, repeat and splice bytes; sometimes nothing is left or nothing changes."""
    found = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        size = len(found)
        place = draw(st.integers(0, size))
        other = draw(st.integers(0, size))
        few = draw(st.sampled_from([1, 2, 8, 64]))
        match draw(st.integers(0, 7)):
            case 0 if size:
                found[place % size] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del found[place:]
            case 2:
                found[place:place] = draw(st.binary(max_size=16))
            case 3:
                found[place:place] = found[other : other + few]
            case 4:
                del found[place : place + few]
            case 5:
                found[place : place + few] = draw(st.sampled_from([b"\0", b"\xff", b"9", b"-", b"\r\n", b"\x80"])) * few
            case 6:
                found[:0] = draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b" ", b"\n"]))
            case _:
                found[place : place + few] = found[other : other + few]
    return bytes(found)
