"""Top-1, top-5 and confidence against the plain formulas, bit for bit, with any number of threads and little memory."""

from dataclasses import astuple

import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.evaluate import Predictions, measure
from ltzoo.evaluate import correctness as module
from ltzoo.evaluate.correctness import image_correctness
from machine import peak_bytes


def plainly(logits, labels):
    """Top 1, top 5 and confidence by the plain formulas, on whole tensors."""
    own = logits.gather(1, labels[:, None])
    before = (logits > own) | ((logits == own) & (torch.arange(logits.shape[1]) < labels[:, None]))
    rank = before.sum(dim=1)
    assert torch.equal(rank == 0, logits.argmax(dim=1) == labels)
    return rank == 0, rank < 5, logits.double().softmax(dim=1).amax(dim=1)


def draw(images, classes, rounded=False, dtype=torch.float32):
    """Logits, many of them equal if they are rounded, and labels, of which about every second is right."""
    generator = torch.Generator().manual_seed(images)
    labels = torch.randint(classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator).mul(2)
    logits[torch.arange(images), labels] += 3
    return Predictions((logits.round() if rounded else logits).to(dtype), labels)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rounded", [True, False], ids=["ties", "no ties"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_is_the_plain_formula_bit_for_bit(count, rounded, dtype, threads, monkeypatch):
    threads(count)
    for chunk, images, classes in [(2**18, 300, 40), (40, 41, 12), (40, 41, 3), (40, 30, 1), (7, 5, 12), (24, 1, 12)]:
        monkeypatch.setattr(module, "_CHUNK", chunk)
        monkeypatch.setattr(module, "_CHUNKS", 2)
        predictions = draw(images, classes, rounded, dtype)
        kept = predictions.logits.clone()
        found = image_correctness(predictions)
        for ours, plain in zip(astuple(found), plainly(kept, predictions.labels), strict=True):
            assert torch.equal(ours, plain), (chunk, images, classes)
        assert torch.equal(predictions.logits, kept)
        assert torch.get_num_threads() == count


@pytest.mark.parametrize("count", [1, 2])
def test_where_all_logits_are_equal_the_first_classes_rank_first(count, threads, monkeypatch):
    threads(count)
    monkeypatch.setattr(module, "_CHUNK", 100)
    found = image_correctness(Predictions(torch.zeros(50, 50), torch.arange(50)))
    assert found.top1.tolist() == [True] + [False] * 49
    assert found.top5.tolist() == [True] * 5 + [False] * 45


def test_what_fails_in_a_thread_is_raised_and_the_threads_are_torchs_again(threads, monkeypatch):
    threads(2)
    monkeypatch.setattr(module, "_CHUNK", 1)
    monkeypatch.setattr(module, "_correctness", lambda logits, labels: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        image_correctness(draw(100, 3))
    assert torch.get_num_threads() == 2


def test_logits_may_require_a_gradient(threads):
    threads(2)
    predictions = draw(20_000, 30)
    found = image_correctness(Predictions(predictions.logits.clone().requires_grad_(), predictions.labels))
    assert torch.equal(found.confidence, image_correctness(predictions).confidence)


@pytest.mark.parametrize(("value", "said"), [(torch.nan, "2 logits are NaN"), (-torch.inf, "2 logits are not finite")])
def test_what_is_no_number_is_counted(value, said):
    predictions = draw(30, 8)
    predictions.logits[[3, 29], [7, 0]] = value
    with pytest.raises(InputError, match=said):
        image_correctness(predictions)


def test_figures_take_a_fraction_of_the_logits_memory(threads):
    threads(1)
    classes = 4000
    predictions = Predictions(torch.randn(classes, classes), torch.arange(classes))
    extra = peak_bytes(torch.device("cpu"), lambda: measure(predictions, range(1, classes + 1), [], "x"))
    assert extra < predictions.logits.nbytes / 10
