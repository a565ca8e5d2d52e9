"""Every fault ends in the right weights or in one error line; the cache stays intact, and the next attempt works."""

import pytest

from ltzoo.checkpoints import CONFIG, WEIGHTS, fetch, push_checkpoint, read_config
from ltzoo.checkpoints.files import MANIFEST
from ltzoo.errors import InputError
from tests.checkpoints.changes import NAME
from tests.checkpoints.faults import LOADS, PUBLICATIONS, SERVED, one_of_each_kind
from tests.checkpoints.hub_routes import Repository


def attempt(case, call):
    """Meet the fault: done, or the one line that is wanted."""
    if case.outcome == SERVED:
        return call()
    with pytest.raises(InputError, match=case.outcome) as caught:
        call()
    assert "\n" not in str(caught.value)
    return None


def cases_of(table, kept):
    """All cases of a table; those that are not kept are slow."""
    return [pytest.param(case, id=case.name, marks=[] if case in kept else [pytest.mark.slow]) for case in table]


@pytest.mark.parametrize("case", cases_of(LOADS, one_of_each_kind(LOADS, "a large file")))
def test_loading(case, as_recipe, small_hub):
    files = {name: (as_recipe / name).read_bytes() for name in (CONFIG, WEIGHTS, MANIFEST)}
    small_hub.store.repositories[f"zoo/{NAME}"] = Repository(private=False)
    small_hub.store.repositories[f"zoo/{NAME}"].add(files)
    case.inject(small_hub, fetch(f"zoo/{NAME}") if case.cached else None)

    def load():
        folder = fetch(f"zoo/{NAME}")
        for name in (CONFIG, WEIGHTS):
            assert (folder / name).read_bytes() == (as_recipe / name).read_bytes()
        read_config(folder)

    attempt(case, load)
    small_hub.faults.clear()
    load()


@pytest.mark.parametrize("case", cases_of(PUBLICATIONS, one_of_each_kind(PUBLICATIONS, "the commit")))
def test_publishing(case, as_recipe, small_hub):
    case.inject(small_hub, as_recipe)
    done = attempt(case, lambda: push_checkpoint(as_recipe, f"zoo/{NAME}"))
    small_hub.faults.clear()
    again = push_checkpoint(as_recipe, f"zoo/{NAME}")
    assert not (done and again.sent)
    assert again.version == "v1"
    repository = small_hub.store.repositories[f"zoo/{NAME}"]
    assert len(repository.commits) == 2  # the empty one, and ours: nothing by halves, nothing twice
    assert repository.tags == {"v1": repository.head}
    assert fetch(f"zoo/{NAME}").is_dir()
