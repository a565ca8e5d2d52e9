"""Tensors: bounded by the length of their file."""

import json
import os
import zipfile

import pytest
import torch
from safetensors.torch import save, save_file

from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import check_archive, parse_tensors, read_tensors


def with_header(header, rest=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def test_what_is_written_is_read(tmp_path):
    kept = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True])}
    save_file(kept, tmp_path / "a", {"kind": "x"})
    tensors, metadata = read_tensors(tmp_path / "a")
    assert metadata == {"kind": "x"}
    for found in (tensors, parse_tensors(save(kept))):
        assert found.keys() == kept.keys()
        assert all(torch.equal(found[key], kept[key]) for key in kept)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**62).to_bytes(8, "little") + b"{}",
        with_header([]),
        with_header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}}, b"1234"),
        with_header({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        with_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
        with_header({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}, b"123"),
        with_header({"a": {"dtype": "os.system", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
        with_header({"__metadata__": {"a": [1]}}),
    ],
)
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    for read in (lambda: read_tensors(tmp_path / "a"), lambda: parse_tensors(content)):
        with pytest.raises(ContentError) as refused:
            read()
        assert "\n" not in str(refused.value)


def test_a_pipe_does_not_make_the_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_tensors, check_archive):
        with pytest.raises(ContentError, match="a pipe or a device"):
            read(tmp_path / "pipe")


def test_an_archive_of_pytorch_passes_and_a_bomb_does_not(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
    check_archive(tmp_path / "whole.pth")
    (tmp_path / "none.pth").write_bytes(b"no archive")
    check_archive(tmp_path / "none.pth")
    for name, kind in (("bomb.pth", zipfile.ZIP_DEFLATED), ("lzma.pth", zipfile.ZIP_LZMA)):
        with zipfile.ZipFile(tmp_path / "whole.pth") as source, zipfile.ZipFile(tmp_path / name, "w", kind) as made:
            for part in source.infolist():
                made.writestr(part.filename, bytes(10**7) if "/data/" in part.filename else source.read(part))
        assert (tmp_path / name).stat().st_size < 20_000
        with pytest.raises(ContentError, match="compressed or overlapping parts"):
            check_archive(tmp_path / name)
