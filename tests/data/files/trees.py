"""Small real images in folders, and splits opened from them."""

import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import DataLocation, ImageFiles, open_files
from ltzoo.errors import InputError

FORMATS = {".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF"}


def encoded(name: str) -> bytes:
    """An image of 4 x 3 pixels, one colour for each name, in the format of the name's suffix, JPEG unless known."""
    seed = list(name.encode("utf-8", "surrogateescape"))
    colour = tuple(np.random.RandomState(seed).randint(0, 256, 3).tolist())
    content = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(content, FORMATS.get(Path(name).suffix.lower(), "JPEG"))
    return content.getvalue()


def plant(root: Path, *names: str) -> Path:
    """Write an image for each name; a name that ends with a slash is an empty folder, other than images are text."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif path.suffix.lower() in (".txt", ".xml"):
            path.write_text("no image")
        else:
            path.write_bytes(encoded(name))
    return root


def opened(
    where: Path, split: str = "train", class_names=None, benchmark: str = "imagefolder", **location
) -> ImageFiles:
    return open_files(NATURAL_BENCHMARKS[benchmark], split, DataLocation(where, **location), class_names)


def content_of(files: ImageFiles) -> list[tuple[str, str]]:
    """Each image's name and class."""
    return [(files.name(k), files.class_names[label]) for k, label in enumerate(files.labels.tolist())]


def refused(found: str, call, *arguments, **options) -> None:
    """The call ends with an `InputError` of one line that says so."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert re.search(found, message), message
    assert message.isprintable(), message
    assert len(message) < 700, message


def check_reader(files: ImageFiles, names) -> None:
    """The reader, and a pickled copy of it, gives each image as it was written; `names` tell which it is."""
    copy = pickle.loads(pickle.dumps(files))
    assert len(files) == len(names) == len(files.labels)
    assert files.positions.dtype == files.labels.dtype == np.int64
    for k, name in enumerate(names):
        assert files.content(k) == copy.content(k) == encoded(name), name
        assert files.image(k).size == (4, 3)
        assert files.image(k).mode == "RGB"
        assert copy.name(k) == files.name(k)
    assert copy.layout == files.layout
