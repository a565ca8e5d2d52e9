"""Atomic writes of folders: the old folder or the new one, as a whole."""

import os
import shutil
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltzoo.atomic_write import WriteError, atomic_folder, folder, remove_left_over
from tests.limits import files_of_at_most, killed_before_call


def write(path: Path, text: str) -> None:
    with atomic_folder(path) as fresh:
        (fresh / "a").write_text(text)
        (fresh / "deep").mkdir()
        (fresh / "deep" / "b").write_text(text)


def texts(path: Path) -> tuple[str, str]:
    return (path / "a").read_text(), (path / "deep" / "b").read_text()


@pytest.fixture(params=["exchanged", "renamed"])
def way(request, monkeypatch):
    """Both ways to replace a folder: in one system call, and where the file system cannot do that."""
    if request.param == "renamed":
        monkeypatch.setattr(folder, "_exchange", lambda one, other: False)
    return request.param


def test_a_folder_is_written_and_replaced_as_a_whole(way, tmp_path):
    path = tmp_path / "new" / "parents" / "f"
    write(path, "1")
    (path / "more").write_text("of the old one")
    write(path, "2")
    assert texts(path) == ("2", "2")
    assert not (path / "more").exists()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_folder_is_replaced(way, exists, tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "f"
    link.symlink_to("disk/f")
    if exists:
        write(tmp_path / "disk" / "f", "1")
    write(link, "2")
    assert link.is_symlink()
    assert texts(tmp_path / "disk" / "f") == ("2", "2")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "deep", "disk", "f", "f"]


def test_two_folders_exchange_their_names_in_one_call(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a").touch()
    if not folder._exchange(one, other):
        pytest.skip("the file system of temporary files cannot exchange names")
    assert (other / "a").exists()
    assert not (one / "a").exists()


@pytest.mark.parametrize("replaces", [False, True])
def test_a_kill_before_any_call_leaves_a_whole_folder(way, replaces, tmp_path):
    path, number, gone = tmp_path / "f", 0, 0
    while True:
        number += 1
        shutil.rmtree(path, ignore_errors=True)
        if replaces:
            write(path, "old")
        killed = killed_before_call(number, tmp_path, lambda: write(path, "new"))
        if path.exists():
            one, other = texts(path)
            assert one == other
        else:
            gone += replaces
        if not killed:
            assert texts(path) == ("new", "new")
            break
        # The next writer puts back what was moved away, even if it fails, and removes what was left over.
        with pytest.raises(ZeroDivisionError), atomic_folder(path):
            raise ZeroDivisionError
        assert not replaces or texts(path) in (("old", "old"), ("new", "new"))
        assert {*tmp_path.iterdir()} <= {path}
    assert number > 10
    assert gone == (1 if way == "renamed" and replaces else 0)


def test_after_an_error_the_old_folder_stays_and_no_new_parent(way, tmp_path):
    write(tmp_path / "f", "old")
    for path in (tmp_path / "f", tmp_path / "g" / "h" / "f"):
        with pytest.raises(ZeroDivisionError), atomic_folder(path) as fresh:
            (fresh / "a").write_text("half")
            raise ZeroDivisionError
    assert texts(tmp_path / "f") == ("old", "old")
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path, monkeypatch):
    write(tmp_path / "f", "old")
    rename = Path.rename

    def fail(path, target):
        if path.name.endswith(".tmp"):
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(folder, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(WriteError, match="/f cannot be written: permission is denied"):
        write(tmp_path / "f", "new")
    assert texts(tmp_path / "f") == ("old", "old")
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_what_version_0_2_left_over_is_put_back(tmp_path):
    write(tmp_path / "f", "old")
    (tmp_path / "f").rename(tmp_path / ".f.old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "f"):
        raise ZeroDivisionError
    assert texts(tmp_path / "f") == ("old", "old")


def test_modes_follow_the_umask_also_of_copies(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    save_file({"a": torch.zeros(2)}, source / "w.safetensors")
    (source / "w.safetensors").chmod(0o600)
    before = os.umask(0o027)
    try:
        with atomic_folder(tmp_path / "f") as fresh:
            shutil.copytree(source, fresh, dirs_exist_ok=True)
            save_file({"a": torch.zeros(2)}, fresh / "x.safetensors")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "f").iterdir()} == {0o640}


def test_files_that_are_too_large_are_named_whichever_exception_says_so(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(bytes(5000))
    write(tmp_path / "f", "old")

    def with_safetensors(fresh: Path) -> None:
        save_file({"a": torch.zeros(1000)}, fresh / "w.safetensors")  # SafetensorError

    def with_copies(fresh: Path) -> None:
        shutil.copytree(tmp_path / "source", fresh, dirs_exist_ok=True)  # shutil.Error, which has a list and no number

    def with_a_copy(fresh: Path) -> None:
        shutil.copyfile(tmp_path / "source" / "large", fresh / "large")  # OSError that names the source

    def with_text(fresh: Path) -> None:
        (fresh / "a").write_text("a" * 5000)  # OSError that names no file

    for way in (with_safetensors, with_copies, with_a_copy, with_text):
        with files_of_at_most(1000), pytest.raises(WriteError) as caught, atomic_folder(tmp_path / "f") as fresh:
            way(fresh)
        assert str(caught.value).startswith(f"{tmp_path / 'f'} cannot be written: it is larger than a file may be here")
        assert "\n" not in str(caught.value)
    assert texts(tmp_path / "f") == ("old", "old")
    assert {path.name for path in tmp_path.iterdir()} == {"f", "source"}


def test_a_file_in_the_place_of_the_folder_stays(tmp_path):
    (tmp_path / "f").write_text("a file")
    with pytest.raises(WriteError, match="/f cannot be written: a file is in the place of its folder"):
        write(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "a file"


def test_a_temporary_folder_that_another_writer_removes_at_once_is_made_again(tmp_path, monkeypatch):
    opened, removed = os.open, []

    def remove_first(name, *arguments, **named):
        if str(name).endswith(".tmp") and not removed:
            removed.append(name)
            remove_left_over(tmp_path / "f")
        return opened(name, *arguments, **named)

    monkeypatch.setattr(os, "open", remove_first)
    write(tmp_path / "f", "1")
    assert removed
    assert texts(tmp_path / "f") == ("1", "1")


def test_two_writers_at_once_leave_one_whole_folder(way, tmp_path):
    failed = []

    def many(name: str) -> None:
        try:
            for k in range(20):
                write(tmp_path / "f", f"{name}{k}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=many, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    one, other = texts(tmp_path / "f")
    assert one == other
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]
