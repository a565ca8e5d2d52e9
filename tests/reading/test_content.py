"""Bytes of a file: a regular one, up to a size, within a folder."""

import os

import pytest

from ltzoo.reading.content import open_regular, read_content, stays_within


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_content(tmp_path / "a", 5) == b"12345"
    assert read_content(str(tmp_path / "a"), 10**12) == b"12345"  # the bound takes no memory


def test_a_longer_file_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)  # a terabyte of holes
    with pytest.raises(OSError, match=r"it has 1048576\.0 MiB, more than the 1\.0 allowed"):
        read_content(tmp_path / "a", 2**20)


def test_a_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match=r"it is a (pipe or a device|folder), not a file"):
            open_regular(path)


def test_a_file_that_says_that_it_is_empty_and_is_not(tmp_path):
    with pytest.raises(OSError, match="it has more bytes than it says"):
        read_content("/proc/self/maps", 2**20)


@pytest.mark.parametrize("name", ["a\0b", "\ud800\0"])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(OSError, match="no file can have this name"):
        open_regular(name)


def test_a_link_is_followed_before_it_is_said_to_stay_within(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "inner").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "outer").symlink_to("../out")
    (tmp_path / "in" / "circle").symlink_to("circle")
    within = {
        name: stays_within(tmp_path / "in" / name, [tmp_path / "in"]) for name in ("inner", "outer", "../out/x", "a\0b")
    }
    assert within == {"inner": True, "outer": False, "../out/x": False, "a\0b": False}
    assert not stays_within(tmp_path / "in" / "circle" / "x", [tmp_path / "out"])
    assert stays_within(tmp_path / "in" / "outer", [tmp_path / "in", tmp_path / "out"])
