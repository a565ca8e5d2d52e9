"""What to do where images are not as expected: each advice follows from a look at what lies there."""

import os
from contextlib import suppress
from pathlib import Path

from ltzoo.data.files.left_out import LeftOut, image_suffixes, suffix
from ltzoo.data.files.split_names import LIST_SUFFIXES, SPELLINGS, SPLIT_NAMES
from ltzoo.errors import counted, first_few, named


def where_classes_are(folder: Path) -> str:
    """Say what to name in place of a folder that has neither splits nor class folders."""
    names = _names(folder)
    images = _images(folder)
    above, own = folder.resolve().parent, folder.resolve().name
    lists = [name for name in names if suffix(name) in LIST_SUFFIXES]
    if lists:
        return f"{_shown(folder / lists[0])} is there: name that list instead of the folder"
    if images and any(_images(above / name) for name in _folders(above, besides=own)):
        return (
            f"it holds {counted(images, 'image')}, as the folders beside it do: if each is a class, name "
            f"{_shown(above)} as the data folder"
        )
    if images:
        there = counted(images, "image")
        return f"it holds {there}: make a folder for each class, or name a list of images instead of the folder"
    return f"{f'it holds {first_few(names)}' if names else 'it is empty'}; name another data folder"


def where_splits_are(folder: Path) -> str | None:
    """Say which folder or option to name in place of a folder with a single class; None if there is no better one."""
    folder = Path(folder)
    below = _folders(folder)
    if len(below) != 1:
        return None
    single = folder / below[0]
    inside = _folders(single)
    if any(name in SPLIT_NAMES for name in inside):
        return f"it holds {first_few([f'{name}/' for name in inside])}: name {_shown(single)} as the data folder"
    if len(inside) > 1 and folder.name in SPLIT_NAMES:
        return f"it holds the folders {first_few(inside)}: if these are the classes, add --class-folder innermost"
    if len(inside) > 1:
        named_instead = f"name {_shown(single)} as the data folder"
        return f"it holds the folders {first_few(inside)}: if these are the classes, {named_instead}"
    return None


def where_test_is(folder: Path) -> str | None:
    """Say which folder has a test split beside this training split; None if there is none."""
    above = folder.resolve().parent
    if folder.resolve().name not in SPELLINGS["train"]:
        return None
    beside = [name for name in _folders(above, besides=folder.resolve().name) if name in SPLIT_NAMES]
    return (
        f"{first_few([f'{name}/' for name in beside])} lies beside it: name {_shown(above)} as the data folder"
        if beside
        else None
    )


def where_image_is(root: Path, name: str) -> str:
    """Say why an image that a list names is not found, and what to do.

    Args:
        root: the folder that the names are relative to.
        name: the name of a missing image, as it is in the list.
    """
    path = root / name
    there = _names(path.parent)
    known = image_suffixes()
    lacking = sorted(file for file in there if file.startswith(f"{path.name}.") and suffix(file) in known)
    if lacking and suffix(path.name) not in known:
        ending = lacking[0][len(path.name) :]
        return f"{_shown(path.parent / lacking[0])} is there: the list lacks the suffix; add --image-suffix {ending}"
    if "\\" in name and os.sep != "\\":
        with suppress(OSError):
            if (root / name.replace("\\", "/")).exists():
                return "the list has Windows' backslashes; write / in their place"
    other = sorted(file for file in there if Path(file).stem == path.stem and suffix(file) in known)
    if other:
        return f"{_shown(path.parent / other[0])} is there: correct the suffix in the list"
    same = sorted(file for file in there if file.lower() == path.name.lower())
    if same:
        return f"{_shown(path.parent / same[0])} is there: write the name in the list as that of the file"
    if name != name.strip():
        return "its name in the list begins or ends with a space; remove it"
    for folder in _near(root):
        tail, ending = _end_of(folder, name, known)
        if tail:
            shorten = "" if tail == name else f"shorten the paths in the list to {named(tail)} and the like, and "
            more = f" --image-suffix {ending}" if ending else ""
            return f"{_shown(folder / f'{tail}{ending}')} is there: {shorten}add --image-root {_shown(folder)}{more}"
    if not os.path.isdir(path.parent):  # noqa: PTH112  False where no folder can have the name
        return f"there is no folder {_shown(path.parent)}; add it, or name what paths start from with --image-root"
    return "add them, or name their folder with --image-root"


def _near(root: Path) -> list[Path]:
    """List the folders in which images of a list may lie: its own, those in it, the one above, and those beside it."""
    inside, beside = ([folder / name for name in _folders(folder)] for folder in (root, root.resolve().parent))
    return [root, *inside, root.resolve().parent, *beside]


def _end_of(folder: Path, name: str, known: set[str]) -> tuple[str, str]:
    """Find the longest end of a name that is a file below the folder, and the suffix that it lacks; else empty ones."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    for tail in ("/".join(parts[k:]) for k in range(len(parts))):
        path = folder / tail
        if os.path.isfile(path):  # noqa: PTH113  False where no file can have the name
            return tail, ""
        lacking = [file for file in _names(path.parent) if file.startswith(f"{path.name}.") and suffix(file) in known]
        if lacking and suffix(tail) not in known:
            return tail, lacking[0][len(path.name) :]
    return "", ""


def _images(folder: Path) -> int:
    left_out = LeftOut()
    return sum(map(left_out.is_image, _names(folder)))


def _names(folder: Path) -> list[str]:
    """List what lies in a folder, but hidden things; nothing where it cannot be listed."""
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _folders(folder: Path, besides: str = "") -> list[str]:
    """List the folders in a folder that can be classes or splits."""
    left_out = LeftOut()
    return [
        name for name in _names(folder) if name != besides and (folder / name).is_dir() and left_out.is_walked(name)
    ]


def _shown(path: Path) -> str:
    return named(str(path))
