"""The prior of logits, against losses minimised to the end on a world of few different images."""

import json

import numpy as np
import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.evaluate import prior_of_logits, read_shares, with_prior
from ltzoo.losses import CE, LA, LDAM, VS, BalancedSoftmax, Focal, LabelAwareSmoothing, Loss, create_loss

SHARE = "pi_j the share of class j in the training images"
WEIGHT = "w_j the weight of class j at the end of the training"
COUNTS = (60, 25, 10, 5)
GIVEN_CLASS = np.array(
    [[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1, 0.7]]
)
"""p(x | class): five different images, four classes."""
WEIGHTS = torch.tensor([0.2, 0.4, 1.0, 2.4], dtype=torch.float64)
TARGET = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


def posterior(prior):
    """p(class | x) by Bayes' rule, (5, 4)."""
    joint = np.asarray(prior)[:, None] * GIVEN_CLASS
    return torch.from_numpy((joint / joint.sum(axis=0)).T)


def minimiser(name, settings, drawn, weights):
    """Free logits of each of the five images that minimise the expected loss of infinitely many draws."""
    loss = create_loss(name, COUNTS, **settings)
    labels = torch.arange(4).repeat(5)
    mass = torch.from_numpy((np.asarray(drawn)[:, None] * GIVEN_CLASS).T.reshape(-1)) * weights[labels]
    logits = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=2000, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = (mass * loss(logits.repeat_interleave(4, dim=0), labels)).sum()
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach()


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("loss", "settings"),
    [(CE(), {}), (LA(1.0), {"tau": 1.0}), (LA(0.4), {"tau": 0.4}), (BalancedSoftmax(), {})],
)
def test_minimised_logits_give_the_posterior_of_any_prior(loss, settings, weights, balanced):
    drawn = [0.25] * 4 if balanced else np.array(COUNTS) / 100
    logits = minimiser(loss.name, settings, drawn, torch.ones(4).double() if weights is None else weights)
    found = prior_of_logits(loss, COUNTS, weights, balanced)
    assert found.caveat is None
    assert float(found.log_shares.exp().sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(logits.softmax(1), posterior(found.log_shares.exp()), atol=1e-7, rtol=0)
    adjusted = with_prior(logits, found.log_shares, TARGET)
    torch.testing.assert_close(adjusted.softmax(1), posterior(TARGET), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("loss", "weights", "balanced", "words"),
    [
        (CE(), None, False, f"pi_j, {SHARE} (loss ce)"),
        (CE(), WEIGHTS, False, f"pi_j * w_j, {SHARE}, {WEIGHT} (loss ce)"),
        (CE(), None, True, "uniform (loss ce)"),
        (LA(1.0), None, False, "uniform (loss la)"),
        (LA(1.0000005), None, False, "uniform (loss la)"),
        (LA(1e-7), None, False, f"pi_j, {SHARE} (loss la)"),
        (LA(0.4), None, False, f"pi_j^0.6, {SHARE} (loss la)"),
        (LA(0.4), None, True, f"pi_j^-0.4, {SHARE} (loss la)"),
        (BalancedSoftmax(), None, False, "uniform (loss bs)"),
        (LA(1.0), WEIGHTS, False, f"w_j, {WEIGHT} (loss la)"),
        (VS(0.0, 0.75), None, False, f"pi_j^0.25, {SHARE} (loss vs)"),
    ],
)
def test_the_prior_in_words(loss, weights, balanced, words):
    found = prior_of_logits(loss, COUNTS, weights, balanced)
    assert (found.words, found.caveat) == (words, None)


@pytest.mark.parametrize(
    ("loss", "caveat"),
    [
        (VS(0.15, 0.75), "the loss vs scales each class's logit in training alone"),
        (LDAM(0.5, 30.0), "the loss ldam subtracts margins from the logits in training alone"),
        (Focal(1.0), "the loss focal weighs images by their probability"),
        (LabelAwareSmoothing(0.3, 0.1), "the loss las smooths labels"),
    ],
)
def test_losses_whose_minimiser_is_no_posterior_say_so(loss, caveat):
    assert prior_of_logits(loss, COUNTS).caveat == caveat


def test_what_is_exact_of_those_losses_has_no_caveat():
    assert prior_of_logits(Focal(0.0), COUNTS).caveat is None
    assert prior_of_logits(LDAM(0.0, 30.0), COUNTS).caveat is None
    assert prior_of_logits(CE(), (1, 1, 1)).log_shares.exp().tolist() == pytest.approx([1 / 3] * 3)


def test_of_a_loss_of_other_makers_the_prior_is_unknown():
    class Mine(Loss):
        name = "mine"

        def bind(self, class_counts, num_features=None):
            return torch.nn.CrossEntropyLoss(reduction="none")

    assert prior_of_logits(Mine(), COUNTS) is None


def test_adding_a_prior_is_logit_adjustment():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    log_pi = torch.tensor(COUNTS).double().div(100).log()
    found = with_prior(logits, log_pi, torch.full((4,), 0.25))
    expected = logits.double() - log_pi
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), atol=1e-12, rtol=0)
    assert with_prior(logits, log_pi, torch.tensor([0, 0.5, 0.5, 0])).softmax(1)[:, [0, 3]].max() == 0


NAMES = ("ant", "bee, small", "cat")


def test_shares_are_read_in_any_order_from_both_kinds_of_files(tmp_path):
    shares = {"cat": 0.25, "ant": 0.5, "bee, small": 0.25}
    (tmp_path / "s.json").write_text(json.dumps(shares))
    (tmp_path / "s.csv").write_text('share,class\n.25,cat\n0.25,"bee, small"\n5e-1,ant\n')
    for name in ("s.json", "s.csv"):
        assert read_shares(tmp_path / name, NAMES).tolist() == [0.5, 0.25, 0.25]
    (tmp_path / "thirds.json").write_text(json.dumps(dict.fromkeys(NAMES, 0.3333)))
    assert read_shares(tmp_path / "thirds.json", NAMES).tolist() == pytest.approx([1 / 3] * 3, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("s.json", "{", "cannot be read .it is no JSON"),
        ("s.json", "[0.5, 0.5]", "it is no object of class names and shares"),
        ("s.json", '{"ant": 0.5, "cat": 0.5}', "lacks the class 'bee, small'; name exactly the model's 3 classes"),
        ("s.json", '{"cat": 1}', "lacks the classes 'ant', 'bee, small'; name exactly"),
        ("s.json", '{"ant": 0.5, "bee, small": 0, "cat": 0.5, "dog": 0}', "names 'dog', which is not a class of the"),
        ("s.json", '{"ant": 1, "bee, small": 0, "cat": 0, "x": 0, "y": 0}', "'x', 'y', which are not classes of the"),
        ("s.json", '{"ant": 0.5, "bee, small": 0.3, "cat": 0.1}', "add up to 0.9, not to 1"),
        ("s.json", '{"ant": 1.5, "bee, small": -0.5, "cat": 0}', "the share of 'bee, small' is '-0.5', no number"),
        ("s.json", '{"ant": true, "bee, small": 0, "cat": 0}', "the share of 'ant' is 'True', no number"),
        ("s.json", '{"ant": 0.5, "ant": 0.5}', "has the key 'ant' twice"),
        ("s.csv", "ant,0.5\ncat,0.5\n", "its columns are not class and share"),
        ("s.csv", "class,share\nant,much\n", "the share of 'ant' is 'much', no number"),
        ("s.csv", "class,share\nant,nan\n", "the share of 'ant' is 'nan', no number"),
        ("s.csv", "class,share\nant,1\nant,0\n", "it names the class 'ant' twice"),
        ("s.csv", "class,share\nant\n", "row 1 has 1 cells, not 2"),
        ("s.csv", "", "its columns are not class and share"),
    ],
)
def test_wrong_shares_are_refused(name, text, found, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=found) as caught:
        read_shares(tmp_path / name, NAMES)
    assert "\n" not in str(caught.value)


def test_a_prior_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nothing cannot be read \(No such file or directory\); write a CSV"):
        read_shares(tmp_path / "nothing", NAMES)
