"""Strategies: variants of safetensors files, tar files, PyTorch's archives and pickles."""

import copy
import io
import json
import os
import pickle
import tarfile
import zipfile
from typing import Any

import torch
from hypothesis import strategies as st

from tests.hostile.damage import Draw, damaged
from tests.hostile.texts import TEXTS, changed, json_texts


@st.composite
def safetensors_files(draw: Draw, content: bytes) -> bytes:
    """Variants of a safetensors file: of its bytes, its length, and its header."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(content))
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    match draw(st.integers(0, 5)):
        case 0:
            name = draw(st.sampled_from([key for key in header if key != "__metadata__"]))
            header[name]["dtype"] = draw(st.sampled_from(_TYPES))
        case 1:
            name = draw(st.sampled_from([key for key in header if key != "__metadata__"]))
            header[name]["shape"] = draw(
                st.lists(st.sampled_from([0, 1, 2, 3, 2**31, 2**62, 10**12, -1, 1.5]), max_size=9)
            )
        case 2 if "__metadata__" in header:
            key = draw(st.sampled_from(sorted(header["__metadata__"])))
            kept = header["__metadata__"][key]
            header["__metadata__"][key] = draw(
                st.one_of(
                    json_texts(kept.encode()).map(lambda found: found.decode("utf-8", "replace")),
                    st.sampled_from(TEXTS),
                )
                if kept[:1] in "{["
                else st.sampled_from(TEXTS)
            )
        case 3:
            few = draw(st.integers(0, max(0, len(rest) - 8)))
            kind = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80"]))
            rest = rest[:few] + kind * 8 + rest[few + 8 :]
        case _:
            header = draw(changed(header))
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    said = draw(st.sampled_from([len(text)] * 12 + [0, 1, len(text) - 1, len(text) + 1, 2**31, 2**63, 2**64 - 1]))
    return said.to_bytes(8, "little") + text + rest


_TYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I8",
    "U8",
    "U64",
    "BOOL",
    "F4",
    "F8_E8M0",
    "F8_E4M3",
    "F6_E2M3",
    "C64",
    "",
    "x",
]


@st.composite
def tars(draw: Draw, content: bytes) -> bytes:
    """Variants of a tar file: of its bytes, its members and their headers."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(content))
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source:
        opened = [(entry, source.extractfile(entry)) for entry in source.getmembers()]
        members = [(entry, file.read() if file else b"") for entry, file in opened]
    kind = draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]))
    begins = []
    with tarfile.open(fileobj=out, mode="w", format=kind) as made:
        for entry, held in members:
            entry, held = copy.copy(entry), bytes(held)
            if draw(st.integers(0, 3)) == 0:
                match draw(st.integers(0, 5)):
                    case 0:
                        entry.name = draw(st.sampled_from(_MEMBERS))
                    case 1:
                        entry.type, entry.linkname = (
                            draw(st.sampled_from(_MEMBER_TYPES)),
                            draw(st.sampled_from(_MEMBERS)),
                        )
                    case 2:
                        keys = [
                            "path",
                            "size",
                            "linkpath",
                            "mtime",
                            "uid",
                            "GNU.sparse.major",
                            "GNU.sparse.size",
                            "hdrcharset",
                        ]
                        values = [*_MEMBERS, "-1", "x", "9" * 30, "1", "nan"]
                        entry.pax_headers = {draw(st.sampled_from(keys)): draw(st.sampled_from(values))}
                    case 3:
                        held = draw(damaged(held))
                        entry.size = len(held)
                    case 4:
                        held = draw(st.sampled_from([b"", b"\xff", b"x" * 300, b"../x", b"a\nb", b"\0"]))
                        entry.size = len(held)
                    case _:
                        begins.append(made.offset)
            try:
                made.addfile(entry, io.BytesIO(held))
            except (ValueError, UnicodeError):  # this format cannot hold the name
                continue
    found = bytearray(out.getvalue())
    for begin in begins:  # numbers in base 256, negative ones among them; the checksum is mended
        field, size = draw(st.sampled_from([(124, 12), (136, 12), (148, 8), (108, 8)]))
        found[begin + field : begin + field + size] = draw(st.sampled_from(_FIELDS))[:size].ljust(size, b"\0")
        found[begin + 148 : begin + 156] = b" " * 8
        found[begin + 148 : begin + 156] = b"%06o\0 " % sum(found[begin : begin + 512])
    return bytes(found)


_MEMBERS = [
    "../outside.png",
    "/etc/passwd",
    "a/../../x.png",
    "./a/1.png",
    "a//1.png",
    "a/1.png",
    ".a/1.png",
    "b/é.png",
    "x" * 300 + "/1.png",
    "a/1.cls",
    "a/\n.png",
    "a",
    "",
    "a/1.PNG",
    "1.png",
    "a/1.mask.png",
]


_MEMBER_TYPES = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"L", b"K", b"S", b"x", b"g", b"X", b"D", b"\0"]


_FIELDS = [
    b"\xff" * 12,
    b"\x80" + b"\x7f" * 11,
    b"77777777777",
    b"-1",
    b"",
    b"\xff" * 4 + b"\0" * 8,
    b"99999",
    b"\x80" + b"\0" * 11,
]


class Runs:
    """Its pickle asks whoever opens it to run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


def _zipped(content: bytes, compress: int, huge: bool) -> bytes:
    """Write PyTorch's archive again, with another compression, or with a part that unpacks to ten megabytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", compress) as made:
        for part in source.infolist():
            held = source.read(part)
            made.writestr(part.filename, bytes(10**7) if huge and "/data/" in part.filename else held)
    return out.getvalue()


@st.composite
def archives(draw: Draw, content: bytes) -> bytes:
    """Variants of PyTorch's archives: of the bytes, of the parts, of the pickle; pickles of other things."""
    match draw(st.integers(0, 5)):
        case 0:
            return pickle.dumps(
                draw(st.sampled_from([Runs(), {"a": Runs()}, [1], {"state_dict": 3}, None, "x", {1: 2}]))
            )
        case 1:
            out = io.BytesIO()
            torch.save(draw(st.sampled_from([Runs(), {"a": 1}, [], {"state_dict": [1]}, torch.zeros(3), None])), out)
            return out.getvalue()
        case 2:
            return _zipped(
                content, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])), draw(st.booleans())
            )
        case 3:
            found, pickled = io.BytesIO(), draw(st.sampled_from(_PICKLES))
            with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(found, "w") as made:
                for part in source.infolist():
                    held = source.read(part)
                    if part.filename.endswith("data.pkl"):
                        held = pickled or draw(damaged(held))
                    made.writestr(part.filename, held)
            return found.getvalue()
        case _:
            return draw(damaged(content))


_PICKLES = [
    b"",
    b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
    b"(" * 10**5,
    b"]" * 10**5 + b".",
    b"\x80\x02}.",
    b"\x80\x05N.",
    b"I1" + b"0" * 5000 + b"\n.",
]


@st.composite
def pickles(draw: Draw, content: bytes) -> bytes:
    """Variants of a pickle."""
    return draw(st.one_of(damaged(content), st.sampled_from([pickle.dumps(Runs()), *_PICKLES])))
