import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.landscape import Lanczos
from ltzoo.landscape.saved_steps import SavedSteps

MATRIX = torch.diag(torch.arange(1.0, 31.0, dtype=torch.float64))
START = torch.ones(30, dtype=torch.float64)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def begin(products):
    """A run that records its products."""

    def product(vector):
        products.append(vector)
        return MATRIX @ vector

    return Lanczos(product, START, 20)


def interrupted(folder, steps):
    """Save a run that stops after some steps."""
    clock = Clock()
    saved, run = SavedSteps(folder, 30.0, clock), begin([])
    saved.restore(0, run)
    for _ in range(steps):
        run.step()
        clock.now += 31
        saved.save(0, run)
    return run


def test_a_run_goes_on_where_it_was_with_the_same_numbers(tmp_path):
    interrupted(tmp_path / "all", 6)
    whole, products = begin([]), []
    for _ in range(10):
        whole.step()
    again = begin(products)
    SavedSteps(tmp_path / "all").restore(0, again)
    assert again.steps == 5
    while again.steps < 10:
        again.step()
    assert len(products) == 5
    assert (again.alphas, again.betas) == (whole.alphas, whole.betas)
    assert torch.equal(again.basis[:10], whole.basis[:10])


def test_another_probe_has_steps_of_its_own(tmp_path):
    interrupted(tmp_path / "all", 6)
    run = begin([])
    SavedSteps(tmp_path / "all").restore(1, run)
    assert run.steps == 0


def test_nothing_is_written_before_it_is_time(tmp_path):
    clock = Clock()
    saved, run = SavedSteps(tmp_path / "all", 30.0, clock), begin([])
    run.step()
    clock.now = 29
    saved.save(0, run)
    assert not (tmp_path / "all").exists()
    clock.now = 30
    saved.save(0, run)
    assert len(list((tmp_path / "all" / "probe0").iterdir())) == 1


def test_a_spectrum_that_is_done_leaves_nothing(tmp_path):
    interrupted(tmp_path / "all", 3)
    SavedSteps(tmp_path / "all").delete()
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 200])
def test_a_damaged_step_is_named(tmp_path, content):
    interrupted(tmp_path / "all", 3)
    path = tmp_path / "all" / "probe0" / "00001.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"00001.safetensors is damaged; delete .*all"):
        SavedSteps(tmp_path / "all").restore(0, begin([]))
