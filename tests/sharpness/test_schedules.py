"""Radius schedules against their formulas."""

import math

import pytest

from ltzoo.sharpness import RADIUS_SCHEDULES, Cosine, Linear, Stages, Steps, radius_at


def over(schedule, epochs):
    return [radius_at(schedule, epoch, epochs) for epoch in range(epochs)]


def test_a_number_is_constant():
    assert over(0.3, 3) == [0.3] * 3


def test_steps_begin_at_their_milestones():
    assert over(Steps(radii=(0.05, 0.1, 0.5), milestones=(1, 3)), 5) == [0.05, 0.1, 0.1, 0.5, 0.5]
    assert over(Steps(radii=(0.05, 0.1, 0.5), milestones=(0, 0)), 2) == [0.5, 0.5]


def test_linear_and_cosine_run_from_start_to_end():
    assert over(Linear(start=0.2, end=1.0), 5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    bow = [0.2 + 0.8 * (1 - math.cos(math.pi * share)) / 2 for share in (0, 0.25, 0.5, 0.75, 1)]
    assert over(Cosine(start=0.2, end=1.0), 5) == pytest.approx(bow)
    assert over(Linear(start=0.2, end=1.0), 1) == [0.2]


def test_stages_change_at_gamma_t():
    assert over(Stages(first=0.1, second=0.3, gamma=0.5), 4) == [0.1, 0.1, 0.3, 0.3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steps(radii=(0.1,), milestones=(3,)), "one more than milestones"),
        (lambda: Steps(radii=(0.1, 0.2, 0.3), milestones=(5, 3)), "must not fall"),
        (lambda: Steps(radii=(0.1, 0.2), milestones=(-1,)), "must not fall"),
        (lambda: Steps(radii=(-0.1,), milestones=()), "radii must be finite and not below 0"),
        (lambda: Linear(start=-0.1, end=0.1), "start must"),
        (lambda: Cosine(start=0.1, end=math.inf), "end must"),
        (lambda: Stages(first=0.1, second=-1, gamma=0.5), "second must"),
        (lambda: Stages(first=0.1, second=0.1, gamma=2), "gamma must lie in"),
    ],
)
def test_senseless_schedules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_the_recipes_words():
    assert list(RADIUS_SCHEDULES) == ["steps", "linear", "cosine", "stages"]
