"""Atomic writes of files: the old file or the new one, never half of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltzoo.atomic_write import WriteError, atomic_write, write_text
from tests.launch import ROOT
from tests.limits import files_of_at_most, killed_before_call


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
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
    write_text(path, "new")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_file_that_need_not_be_durable_is_not_flushed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("it was flushed"))
    with atomic_write(tmp_path / "a.txt", durable=False) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_modes_follow_the_umask_whichever_library_writes(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "new")
        with atomic_write(tmp_path / "b.safetensors") as temporary:
            save_file({"a": torch.zeros(2)}, temporary)  # makes a file that its owner alone can read
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o666 & ~umask] * 2


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "a.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "there" / "a.txt").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
@pytest.mark.parametrize(
    ("name", "into"),
    [("/dev/stdout", "> log"), ("/dev/stdout", ">> log"), ("/dev/stdout", "| cat > log"), ("link", ">> log")],
)
def test_standard_output_is_written_to_where_the_shell_redirects_it(name, into, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "log").write_text("earlier\n")
    inode = (tmp_path / "log").stat().st_ino
    code = "from ltzoo.atomic_write import *; from pathlib import Path; print('before'); "
    code += f"write_text(Path('{name}'), 'new\\n'); print('after')"
    line = f'{{ echo shell; "{sys.executable}" -c "{code}"; }} {into}'
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0
    earlier = "earlier\n" if into == ">> log" else ""
    assert (tmp_path / "log").read_text() == f"{earlier}shell\nbefore\nnew\nafter\n"
    assert (tmp_path / "log").stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "log"]


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(WriteError, match=r"^/dev/full cannot be written: no space is left on the device; make room$"):
        write_text(Path("/dev/full"), "text")


def test_a_kill_before_any_call_leaves_the_old_file_or_the_new_one(tmp_path):
    path, number, found = tmp_path / "a.txt", 0, []
    while True:
        number += 1
        path.write_text("old")
        killed = killed_before_call(number, tmp_path, lambda: write_text(path, "new, and longer"))
        found.append(path.read_text())
        if not killed:
            break
        # The next writer removes what was left over.
        write_text(path, "again")
        assert list(tmp_path.iterdir()) == [path]
    assert number > 5
    assert found == ["old"] * found.count("old") + ["new, and longer"] * found.count("new, and longer")
    assert set(found) == {"old", "new, and longer"}


def test_a_temporary_file_of_a_living_process_is_not_removed(tmp_path):
    path = tmp_path / "a.txt"
    script = """
import sys, pathlib
from ltzoo.atomic_write import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("slow")
    print("ready", flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdout.readline() == "ready\n"
        write_text(path, "fast")
        assert len(list(tmp_path.iterdir())) == 2
        slow.communicate("\n")
    assert slow.returncode == 0
    assert path.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [path]


def test_a_left_over_file_is_removed_whatever_the_clock_says(tmp_path):
    path = tmp_path / "a.txt"
    left_over = tmp_path / ".a.txt.0123abcd.tmp"
    for when in (0, time.time() + 1e8):
        left_over.write_text("half")
        os.utime(left_over, (when, when))
        write_text(path, "new")
        assert list(tmp_path.iterdir()) == [path]
    others = [tmp_path / name for name in (".b.txt.0123abcd.tmp", ".a.txt.tmp", "a.txt.0123abcd.tmp")]
    for other in others:
        other.write_text("of others")
    write_text(path, "new")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_many_writers_at_once(tmp_path):
    path = tmp_path / "a.txt"
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for k in range(50):
                    write_text(path, f"{number} {k}" * 1000)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(set(path.read_text().replace(" ", "").split("49"))) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_too_large_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    message = rf"^{path} cannot be written: it is larger than a file may be here \(ulimit -f, .*\)$"
    with files_of_at_most(1000):
        with pytest.raises(WriteError, match=message):
            write_text(path, "a" * 2000)
        with pytest.raises(WriteError, match=message), atomic_write(path) as temporary:
            save_file({"a": torch.zeros(1000)}, temporary)  # raises SafetensorError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(WriteError, match=r"gone/a.txt cannot be written: its folder does not exist, or was removed"):
        write_text(tmp_path / "gone" / "a.txt", "new")
    (tmp_path / "folder").mkdir()
    gone = pytest.raises(WriteError, match=r"folder/a.txt cannot be written: its folder does not exist, or was removed")
    with gone, atomic_write(tmp_path / "folder" / "a.txt") as temporary:
        temporary.unlink()
        (tmp_path / "folder").rmdir()
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="folder cannot be written: a folder is in its place"):
        write_text(tmp_path / "folder", "new")


def test_an_error_about_another_file_is_not_one_of_writing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "folder" / "a.txt"):
        (tmp_path / "missing").read_text()
