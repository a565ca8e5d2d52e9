"""Tries variants of a reader's file, and counts what they come to."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.hostile.documents import READERS as DOCUMENTS
from tests.hostile.image_data import READERS as IMAGE_DATA
from tests.hostile.outcome import FaultError, Reader, outcome
from tests.hostile.tensor_files import READERS as TENSOR_FILES

READERS = {reader.name: reader for reader in (*DOCUMENTS, *TENSOR_FILES, *IMAGE_DATA)}


def prepare(reader: Reader, root: Path) -> tuple[Path, bytes]:
    """Write the valid example of a reader; return its folder, and the content of its file."""
    folder = root / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reader.build(folder)
    return folder, (folder / reader.file).read_bytes()


def explore(
    reader: Reader, root: Path, examples: int, number: int, fault: Callable[[bytes, str], object]
) -> Counter[str]:
    """Try variants.

    Args:
        reader: the reader.
        root: an empty folder.
        examples: how many variants to try.
        number: the seed; the same one gives the same variants.
        fault: called with each variant that comes to a fault, and with the fault.

    Returns:
        How many came to `right`, `refused` and `fault`.
    """
    found: Counter[str] = Counter()
    folder, content = prepare(reader, root)

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(reader.contents(content))
    def try_one(variant: bytes) -> None:
        nonlocal folder
        try:
            found[outcome(reader, folder, variant)] += 1
        except FaultError as error:
            found["fault"] += 1
            fault(variant, str(error))
        if not (folder / reader.file).is_file():  # it was removed, as the folder of a run that has not begun
            folder, _ = prepare(reader, root)

    try_one()
    return found
