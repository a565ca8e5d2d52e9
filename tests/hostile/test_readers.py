"""Every reader of files, given a few hostile variants; benchmarks/hostile_files.py gives it many."""

import datasets
import pytest

from tests.hostile.explore import READERS, explore, prepare
from tests.hostile.outcome import outcome

# The readers that build a model take longer, and are given fewer.
EXAMPLES, DEAR_EXAMPLES = 12, 2

datasets.disable_progress_bars()


@pytest.mark.parametrize("name", READERS)
def test_a_hostile_file_is_read_right_or_refused(name, tmp_path):
    reader, faults = READERS[name], []
    found = explore(
        reader,
        tmp_path,
        DEAR_EXAMPLES if reader.dear else EXAMPLES,
        0,
        lambda variant, fault: faults.append((fault, variant)),
    )
    assert not faults
    assert found.total() > 0


@pytest.mark.parametrize("name", [name for name in READERS if name != "CIFAR pickle"])
def test_the_valid_file_is_read(name, tmp_path):
    reader = READERS[name]
    folder, content = prepare(reader, tmp_path)
    assert outcome(reader, folder, content) == "right"


def test_a_pickle_with_other_hashes_than_those_of_cifar_is_not_opened(tmp_path):
    reader = READERS["CIFAR pickle"]
    folder, content = prepare(reader, tmp_path)
    assert outcome(reader, folder, content) == "refused"
