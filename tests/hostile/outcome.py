"""What reading a file came to: a right value, a refusal in one clear line, or a fault."""

import math
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from ltzoo.errors import InputError

SECONDS = 5.0
"""Processor time that one file may take."""

BYTES = 2**31
"""Address space that one file may take."""

_LONGEST_LINE = 2000
_PROGRAMS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.connect")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Reader:
    """A reader of files, and the variants that it is given.

    Attributes:
        name: its name.
        build: writes a valid example into an empty folder.
        file: the file that is replaced, relative to the folder.
        read: reads it; called with the folder.
        contents: from the valid content to the strategy of its variants.
        finish: makes the folder consistent again once the file is replaced, such as its hashes.
        leaves: the file may name images outside its folder, as a user's own lists may.
        dear: an example takes so long that few are tried.
    """

    name: str
    build: Callable[[Path], object]
    file: str
    read: Callable[[Path], Any]
    contents: Callable[[bytes], st.SearchStrategy[bytes]]
    finish: Callable[[Path], object] = lambda folder: None
    leaves: bool = False
    dear: bool = False


class FaultError(AssertionError):
    """What a reader must not do."""


def outcome(reader: Reader, folder: Path, content: bytes) -> str:
    """Read a variant; return `right` or `refused`.

    Raises:
        FaultError: it came to anything else.
    """
    path = folder / reader.file
    path.write_bytes(content)
    reader.finish(folder)
    began = time.process_time()
    with _watched(folder, reader.leaves) as seen, _limited():
        try:
            value, message = reader.read(folder), None
        except InputError as error:
            value, message = None, str(error)
        except (Exception, SystemExit) as error:
            raise FaultError(_said(error)) from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # Rust's; it derives from BaseException
                raise FaultError(_said(error)) from error
            raise
    if seen:
        raise FaultError(f"{seen[0]}")
    if time.process_time() - began > SECONDS:
        raise FaultError(f"{time.process_time() - began:.0f} seconds")
    if message is None:
        wrong = not_finite(value)
        if wrong:
            raise FaultError(f"a figure is {wrong}")
        return "right"
    if path.name not in message and str(folder) not in message:
        raise FaultError(f"the message names no file: {message[:200]}")
    if "\n" in message or len(message) > _LONGEST_LINE:
        raise FaultError(f"the message is not one line: {message[:200]!r}")
    if re.search("alloc|out of memory|MemoryError", message):
        raise FaultError(f"memory was asked for: {message[:300]}")
    return "refused"


def _said(error: BaseException) -> str:
    """Name an error and the line of ltzoo that it passed last."""
    where, frame = "", error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if ("/ltzoo/" in file and "/site-packages/" not in file) or "/hub/" in file:
            where = f" at {'/'.join(file.split('/')[-3:])}:{frame.tb_lineno}"
        frame = frame.tb_next
    return f"{type(error).__name__}{where}: {str(error)[:200]!r}"


def not_finite(value: Any, depth: int = 0) -> str | None:
    """Describe the first number in a value that is not finite; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else repr(value)
    if isinstance(value, torch.Tensor):
        return None if not value.is_floating_point() or value.isfinite().all() else "a tensor that is not finite"
    if depth > 40:
        return "nested too deeply"
    if is_dataclass(value):
        parts: Iterator[Any] = (getattr(value, field.name) for field in fields(value))
    elif isinstance(value, Mapping):
        parts = iter(value.values())
    elif isinstance(value, list | tuple):
        parts = iter(value)
    else:
        return None
    return next((wrong for part in parts if (wrong := not_finite(part, depth + 1))), None)


_seen: list[str] | None = None
_inside: tuple[str, ...] = ()
_outside: tuple[str, ...] = ()
_SYSTEM_FILES = ("/etc/passwd", "/etc/shadow")
"""Devices are not among them: they are opened to see what they are, and refused without a byte read."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event in _PROGRAMS:
        _seen.append(f"a program or a connection: {event} {str(arguments)[:200]}")
    elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path, flags = os.path.realpath(os.fsdecode(arguments[0])), arguments[2]
        if path.startswith(_outside):
            _seen.append(f"{path} was opened")
        elif isinstance(flags, int) and flags & _WRITING and not path.startswith(_inside):
            _seen.append(f"{path} was opened for writing")


sys.addaudithook(_audit)  # it cannot be taken off again; outside `_watched` it does nothing


@contextmanager
def _watched(folder: Path, leaves: bool) -> Iterator[list[str]]:
    """Watch for programs that are started and for files that are opened outside the folder."""
    global _seen, _inside, _outside
    _inside = (str(folder.resolve()), tempfile.gettempdir(), "/dev/null")
    # A list may name any image; what is none is opened and refused.
    _outside = () if leaves else (*_SYSTEM_FILES, str(folder.parent.resolve() / "outside"))
    seen: list[str] = []
    _seen = seen
    try:
        yield seen
    finally:
        _seen = None


@contextmanager
def _limited() -> Iterator[None]:
    """Limit the address space to what is taken now and a bit more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
