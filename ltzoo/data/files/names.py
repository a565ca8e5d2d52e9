"""Many names in little memory, and names as a message shows them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Names:
    """Names in one block of bytes: no object a name, so workers that are forked never copy them.

    Attributes:
        block: all names in UTF-8, one after the other; bytes that are no UTF-8 stay as they are.
        ends: (N,) int64, where each name ends.
    """

    block: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Gather names, each in UTF-8."""
        names = list(names)
        return cls(b"".join(names), np.cumsum(np.fromiter(map(len, names), np.int64, len(names))))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "Names":
        """Gather names, each as `os.listdir` gives it."""
        return cls.of(text.encode("utf-8", "surrogateescape") for text in texts)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return a name as `os.listdir` would give it."""
        begin = self.ends[index - 1] if index else 0
        return self.block[begin : self.ends[index]].decode("utf-8", "surrogateescape")

    def folders(self) -> Iterator[bytes]:
        """Yield the last folder of each name, empty where it has none."""
        begin = 0
        for end in self.ends.tolist():
            yield self.block[begin:end].rpartition(b"/")[0].rpartition(b"/")[2]
            begin = end


def shown(text: str) -> str:
    """Give a name as it can stand in one line: escaped where it has line ends, or bytes that are no text."""
    return text if text.isprintable() else repr(text)


def some(items: Sequence[str]) -> str:
    """List up to five."""
    return ", ".join(items[:5]) + (", ..." if len(items) > 5 else "")
