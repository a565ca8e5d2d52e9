"""Atomic writes of files and folders: readers see the old one or the new one, never half of it."""

from ltzoo.atomic_write.failure import WriteError, write_errors
from ltzoo.atomic_write.file import atomic_write, write_text
from ltzoo.atomic_write.folder import atomic_folder
from ltzoo.atomic_write.left_over import remove_left_over

__all__ = ["WriteError", "atomic_folder", "atomic_write", "remove_left_over", "write_errors", "write_text"]
