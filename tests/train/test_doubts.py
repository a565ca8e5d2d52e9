"""What can hardly be meant is said."""

from dataclasses import replace

import pytest

from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train.doubts import doubts

SSESAM = get_recipe("resnet50_imagefolder_vs_ssesam")
COUNTS = (500, 100, 5)


def test_the_recipes_own_settings_leave_no_doubt():
    assert doubts(SSESAM, COUNTS) == []
    assert doubts(get_recipe("resnet50_imagefolder_ce_sgd"), COUNTS) == []


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"optimizer.trained": "head"}, "all but the head stay fresh; to start from given weights, add --pretrained"),
        ({"batchnorm": "frozen"}, "BatchNorm's statistics stay fresh"),
        ({"optimizer.kind": "adamw"}, "a learning rate of 0.01 is SGD's; adamw wants less, such as --lr 1e-4"),
        ({"perturbation.eta": 0.5}, "no class is tail by perturbation.eta, 0.5: set it between 5 and 500"),
        ({"perturbation.eta": 5000}, "every class is tail by perturbation.eta, 5000"),
    ],
)
def test_doubts(settings, found):
    (said,) = doubts(override(SSESAM, settings), COUNTS)
    assert said.startswith(found)


def test_given_weights_may_stay_as_they_are():
    given = replace(override(SSESAM, {"optimizer.trained": "head", "batchnorm": "frozen"}), initial="pretrained")
    assert doubts(given, COUNTS) == []
