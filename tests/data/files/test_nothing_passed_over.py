"""Whatever lies in a folder or in a tar file is read, or counted as left out: no file is passed over."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ltzoo.data.files.archives import read_tar
from ltzoo.data.files.folders import read_folder
from ltzoo.errors import InputError
from tests.data.files.test_archives import pack
from tests.data.files.trees import plant

FOLDERS = ("cat", "dog", "monday", "@eaDir", "#recycle", ".thumbnails", "__MACOSX", "lost+found", "a.jpg", "$5", "é b")
FILES = ("a.jpg", "b.JPEG", "c.gif", "d.heic", "e.txt", "f", "._a.jpg", ".DS_Store", "Thumbs.db", "g.avif", "h.cls")
MADE = {"@eaDir", "#recycle", ".thumbnails", "__MACOSX", "lost+found", "a.jpg"}
IMAGES = {"a.jpg", "b.JPEG", "c.gif", "g.avif"}

paths = st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=3).flatmap(
    lambda folders: st.sampled_from(FILES).map(lambda file: "/".join([*folders, file]))
)
trees = st.lists(paths, min_size=1, max_size=14, unique=True).map(sorted)


def counted(notes, what):
    found = [re.search(rf": left out ([\d,]+) {what}s?[ :]", note) for note in notes]
    return sum(int(match[1]) for match in found if match)


def check(read, names):
    """Each name is an image, or counted under the reason that holds for it."""
    below = {name: next((k for k, part in enumerate(name.split("/")[:-1]) if part in MADE), None) for name in names}
    walked = [name for name, made in below.items() if made is None]
    images = sorted(name for name in walked if name.rpartition("/")[2] in IMAGES)
    folders = {"/".join(name.split("/")[: made + 1]) for name, made in below.items() if made is not None}
    hidden = [name for name in walked if name.rpartition("/")[2].startswith(".")]
    try:
        files = read()
    except InputError as error:
        classes = {name.partition("/")[0] for name in names} - MADE
        assert not images or len({name.partition("/")[0] for name in images}) < len(classes), error
        return
    assert sorted(files.name(k) for k in range(len(files))) == images
    assert [files.class_names[label] for label in files.labels] == [
        files.name(k).partition("/")[0] for k in range(len(files))
    ]
    assert counted(files.notes, "folder") == len(folders)
    assert counted(files.notes, "hidden file") == len(hidden)
    assert counted(files.notes, "file") == len(walked) - len(images) - len(hidden)


@settings(max_examples=50, deadline=None)
@given(trees)
def test_no_file_of_a_folder_is_passed_over(names):
    names = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), *names)
        check(lambda: read_folder(Path(folder)), names)


@settings(max_examples=50, deadline=None)
@given(trees)
def test_no_member_of_a_tar_file_is_passed_over(names):
    with tempfile.TemporaryDirectory() as folder:
        check(lambda: read_tar(pack(Path(folder) / "train.tar", names)), names)
