"""Atomic writes: the old file or the new one, never half of it."""

import os

import pytest

from ltzoo.atomic_write import atomic_write


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_stays_and_nothing_else(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as first:
        first.write_text("first")
        with atomic_write(path) as second:
            second.write_text("second, longer")
        assert path.read_text() == "second, longer"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_disk_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []

    def fsync(descriptor):
        synced.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_the_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "usual").write_text("")
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode
