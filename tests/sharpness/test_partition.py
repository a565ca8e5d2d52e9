"""Head and tail: a threshold in images, or a quantile of the class counts."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from ltzoo.sharpness import SSESAM, ImbSAM, Quantile, SAMExt, tail_partition

COUNTS = torch.tensor([60, 30, 9, 4])


def test_tail_is_below_eta():
    assert tail_partition(COUNTS, 9).tolist() == [False, False, False, True]
    assert tail_partition(COUNTS, 9.5).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("share", "eta", "tail"),
    [
        (0.25, 7.75, [False, False, False, True]),  # 4 + 0.75 * (9 - 4)
        (1 / 3, 9.0, [False, False, False, True]),  # that of the third class itself, which is not below it
        (0.5, 19.5, [False, False, True, True]),
        (0.65, 28.95, [False, False, True, True]),  # 9 + 0.95 * (30 - 9)
        (0.7, 33.0, [False, True, True, True]),  # 30 + 0.1 * (60 - 30)
        (0.999, 59.91, [False, True, True, True]),
    ],
)
def test_a_quantile_by_hand(share, eta, tail):
    assert Quantile(share).of(COUNTS) == pytest.approx(eta, abs=1e-6)
    assert tail_partition(COUNTS, Quantile(share)).tolist() == tail


@pytest.mark.parametrize("classes", [5, 101, 1000, 8142])
def test_it_is_numpys_and_about_that_share_of_the_classes_is_tail(classes):
    counts = torch.randperm(10 * classes, generator=torch.Generator().manual_seed(classes))[:classes] + 1
    for share in np.arange(0.01, 1, 0.01).tolist():
        assert Quantile(share).of(counts) == pytest.approx(np.quantile(counts.numpy(), share), abs=1e-6)
        assert tail_partition(counts, Quantile(share)).double().mean() == pytest.approx(share, abs=1 / classes)


def test_rounding_makes_no_class_tail():
    """0.55 * 100 is 55.00000000000001 in binary; the class that lies at the quantile is not below it."""
    counts = torch.arange(101, dtype=torch.float64)
    assert [int(tail_partition(counts, Quantile(k / 100)).sum()) for k in range(1, 100)] == list(range(1, 100))


def test_where_many_classes_have_as_many_images_fewer_are_tail():
    assert not tail_partition(torch.full((7,), 3), Quantile(0.65)).any()
    assert tail_partition(torch.tensor([9, 5, 5, 5, 1]), Quantile(0.65)).tolist() == [False] * 4 + [True]
    assert not tail_partition(torch.tensor([9, 5, 5, 5]), Quantile(0.5)).any()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_two_classes_and_one(share):
    assert tail_partition(torch.tensor([10, 4]), Quantile(share)).tolist() == [False, True]
    assert tail_partition(torch.tensor([10]), Quantile(share)).tolist() == [False]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64])
def test_counts_of_any_type_will_do_and_stay_where_they_are(dtype):
    tail = tail_partition(COUNTS.to(dtype), Quantile(0.65))
    assert tail.dtype == torch.bool
    assert tail.device == COUNTS.device
    assert tail.tolist() == [False, False, True, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_the_mask_lies_there():
    tail = tail_partition(COUNTS.cuda(), Quantile(0.65))
    assert tail.is_cuda
    assert tail.tolist() == [False, False, True, True]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 65, float("nan"), float("inf")])
def test_bad_shares_are_refused(share):
    with pytest.raises(ValueError, match=f"share must lie between 0 and 1, not {share}"):
        Quantile(share)


def test_it_is_a_plain_value():
    eta = Quantile(share=0.65)
    assert repr(eta) == "Quantile(share=0.65)"
    assert pickle.loads(pickle.dumps(eta)) == eta
    assert len({eta, Quantile(0.65), Quantile(0.5)}) == 2
    with pytest.raises(FrozenInstanceError):
        eta.share = 0.5
    method = SSESAM(rho_head=0.05, rho_tail=0.1, gamma=0.7, eta=eta)
    assert "eta=Quantile(share=0.65)" in repr(method)
    assert method.scaled(10, 20) == pickle.loads(pickle.dumps(method)) == method


@pytest.mark.parametrize("normalization", ["batch", "double_tail", "group"])
def test_tables_follow_the_counts(normalization):
    for make in (
        lambda eta: ImbSAM(rho=0.1, eta=eta, normalization=normalization),
        lambda eta: SAMExt(rho_head=0.3, rho_tail=0.6, eta=eta),
        lambda eta: SSESAM(rho_head=0.3, rho_tail=0.6, gamma=1, eta=eta),
    ):
        for counts, eta in ((COUNTS, 28.95), (100 * COUNTS, 2895.0), ([5, 5, 5], 5.0)):
            found, expected = (make(value).table(counts) for value in (Quantile(0.65), eta))
            assert (found.structure, found.radii) == (expected.structure, expected.radii)
