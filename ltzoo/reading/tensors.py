"""Tensors in safetensors files, and a check of PyTorch's archives before they are unpickled."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from ltzoo.reading.content import open_regular
from ltzoo.reading.errors import ContentError, why

_Read = TypeVar("_Read")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from a safetensors file. They take as much memory as the file is long.

    Raises:
        ContentError: the file is missing or damaged, or has a type of number that torch does not know.
    """

    def read() -> tuple[dict[str, Tensor], dict[str, str]]:
        open_regular(path).close()  # safetensors would wait for the writer of a pipe
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118

    return _refused(read)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, without its tensors.

    Raises:
        ContentError: the file is missing or damaged.
    """

    def read() -> dict[str, str]:
        open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})

    return _refused(read)


def parse_tensors(content: bytes) -> dict[str, Tensor]:
    """Read tensors from the content of a safetensors file.

    Raises:
        ContentError: it is damaged, or has a type of number that torch does not know.
    """
    return _refused(lambda: load(content))


def _refused(read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    # Beside its own error, safetensors passes on what torch raises for types and shapes that torch does not know.
    except (
        SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError,
        AssertionError,
    ) as error:  # fmt: skip
        raise ContentError(why(error) if isinstance(error, SafetensorError | OSError) else _named(error)) from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {why(error)}"


def check_archive(path: Path) -> None:
    """Check that a file of weights takes no more memory than it is long; PyTorch stores its archives uncompressed.

    Raises:
        ContentError: it is no regular file, or an archive whose parts are compressed or overlap.
    """
    try:
        with open_regular(path) as file:
            if not zipfile.is_zipfile(file):
                return
            with zipfile.ZipFile(file) as archive:
                parts, size = archive.infolist(), os.fstat(file.fileno()).st_size
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ContentError(why(error)) from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(part.file_size for part in parts) > size:
        raise ContentError("it is an archive with compressed or overlapping parts, which PyTorch does not write")
