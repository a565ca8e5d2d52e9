"""Strategies: variants of images, stored arrays, and parquet files of images."""

import gzip
import io
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.hostile.binaries import Runs
from tests.hostile.damage import Draw, damaged
from tests.hostile.texts import PATHS


def _chunk(kind: bytes, held: bytes) -> bytes:
    return len(held).to_bytes(4, "big") + kind + held + zlib.crc32(kind + held).to_bytes(4, "big")


def png(width: int, height: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A grey PNG that says it has this size."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    chunks = [(b"IHDR", head), *more, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _fits() -> bytes:
    """A FITS image whose compressed pixels unpack to a hundred times their size."""
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    0",
        "EXTEND  =                    T",
        "END",
    ]
    table = [
        "XTENSION= 'BINTABLE'",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
        "NAXIS1  =                    8",
        "NAXIS2  =                    1",
        "PCOUNT  =                   99",
        "GCOUNT  =                    1",
        "ZIMAGE  =                    T",
        "ZCMPTYPE= 'GZIP_1  '",
        "ZBITPIX =                    8",
        "ZNAXIS  =                    2",
        "ZNAXIS1 =                   12",
        "ZNAXIS2 =                    9",
        "END",
    ]
    block = lambda lines: "".join(line.ljust(80) for line in lines).ljust(2880).encode()  # noqa: E731
    return block(cards) + block(table) + b"\0" * 8 + gzip.compress(bytes(10**7))


IMAGES = [
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 9\n%%EndComments\n(/tmp/never) (w) file pop\nshowpage\n%%EOF\n",
    _fits(),
    png(50_000, 50_000, b""),
    png(2**31 - 1, 2**31 - 1, b""),
    png(0, 9, b""),
    png(12, 9, bytes(10**7)),
    png(12, 9, bytes(13 * 9), (b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8), 9))),
    png(12, 9, bytes(13 * 9), (b"iCCP", b"x\0\0" + zlib.compress(bytes(10**8), 9))),
    b"BM" + bytes(16) + (2**30).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24),
    b"P6 99999 99999 255\n",
    b"P6 -1 -1 255\n",
    b"P5 " + b"9" * 5000 + b" 1 255\n",
    b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2",
    b"",
    b"\0" * 100,
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
    b"\xd7\xcd\xc6\x9a" + bytes(40),
    b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 100,
    b"MM\0*\0\0\0\x08" + b"\0\1" + b"\xff" * 30,
    b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 30,
]


@st.composite
def images(draw: Draw, content: bytes) -> bytes:
    """Variants of an image, and images of other formats made to do harm."""
    if draw(st.integers(0, 2)) == 0:
        return draw(st.one_of(st.sampled_from(IMAGES), st.sampled_from(IMAGES).flatmap(damaged)))
    return draw(damaged(content))


@st.composite
def stored_arrays(draw: Draw, content: bytes) -> bytes:
    """Variants of a file of NumPy."""
    match draw(st.integers(0, 3)):
        case 0:
            out = io.BytesIO()
            array = draw(st.sampled_from(_ARRAYS))
            np.save(out, array, allow_pickle=True)
            return out.getvalue()
        case 1:
            shape = draw(st.lists(st.sampled_from([0, 1, 3, 6, 10**6, 10**12, -1]), max_size=4))
            out = io.BytesIO()
            header = {"descr": draw(st.sampled_from(["|u1", "<f8", "|O", "<U99", "|V0"])), "fortran_order": False}
            np.lib.format.write_array_header_1_0(out, header | {"shape": tuple(shape)})
            return out.getvalue() + content[-200:]
        case 2:
            out = io.BytesIO()
            np.savez_compressed(out, x=np.zeros(10))
            return out.getvalue()
        case _:
            return draw(damaged(content))


_ARRAYS = [
    np.zeros((6, 8)),
    np.zeros((6, 8, 3), np.uint8),
    np.array([Runs()], object),
    np.zeros(0),
    np.zeros((6, 8, 4), np.uint8),
    np.array("x"),
]


@st.composite
def parquets(draw: Draw, content: bytes) -> bytes:
    """Variants of a parquet file of images: of its bytes, its columns, and its values."""
    if draw(st.booleans()):
        return draw(damaged(content))
    table = pq.read_table(io.BytesIO(content))
    image, label = table.column_names
    rows, labels = table[image].to_pylist(), table[label].to_pylist()
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(rows) - 1))
        match draw(st.integers(0, 6)):
            case 0:
                rows[place] = {"bytes": None, "path": draw(st.sampled_from(PATHS))}
            case 1:
                rows[place] = draw(st.sampled_from([None, {"bytes": None, "path": None}, {"bytes": b"", "path": ""}]))
            case 2:
                rows[place] = {"bytes": draw(st.sampled_from(IMAGES)), "path": None}
            case 3:
                labels = [
                    draw(st.sampled_from([None, -1, 9, 10, 2**40])) if type(value) is int else value for value in labels
                ]
            case 4:
                labels = draw(
                    st.sampled_from([["x"] * len(rows), [1.5] * len(rows), [b"\xff"] * len(rows), [[1]] * len(rows)])
                )
            case 5:
                rows = draw(st.sampled_from([[1] * len(rows), ["/etc/passwd"] * len(rows), [{"x": 1}] * len(rows)]))
            case _:
                rows, labels = [None] * 300_000, [1 if type(labels[0]) is int else "a"] * 300_000
                break
        if not isinstance(rows[0], dict | None):
            break
    image, label = (draw(st.sampled_from([name] * 9 + ["x", ""])) for name in (image, label))
    try:
        made = pa.table([pa.array(rows), pa.array(labels)], names=[image, label])
    except (pa.ArrowException, UnicodeError):
        return content
    if draw(st.integers(0, 4)) == 0:
        made = made.replace_schema_metadata(
            {b"ltzoo_layout": draw(st.sampled_from([b"torchvision", b"\xff", b"x" * 10**5]))}
        )
    out = io.BytesIO()
    pq.write_table(made, out, compression=draw(st.sampled_from(["snappy", "zstd", "none"])))
    return out.getvalue()
