"""Five crops of each image, against torchvision's FiveCrop and against plain slicing."""

import pickle

import numpy as np
import pytest
from PIL import Image

from ltzoo.data import NATURAL_BENCHMARKS, ModelInput
from ltzoo.data.files.crops import CROPS, FiveCrops, side_for_crops
from tests.data.pictures import Made


def described(size, interpolation="bicubic"):
    view = ModelInput(size, (0.5,) * 3, (0.5,) * 3, 0.9, interpolation)
    return NATURAL_BENCHMARKS["imagefolder"].with_counts((2, 1, 1), ("a", "b", "c"), view).data_set


SIZES = [(40, 32), (31, 57), (20, 20), (301, 200)]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("photo", SIZES)
@pytest.mark.parametrize("size", [15, 24, 32])
def test_crops_are_torchvisions(size, photo, interpolation):
    transforms = pytest.importorskip("torchvision.transforms", reason="it is compared with torchvision's FiveCrop")
    made = Made(2, photo)
    crops = FiveCrops(made, described(size, interpolation))
    resize = transforms.Resize(side_for_crops(size), transforms.InterpolationMode(interpolation))
    five = transforms.FiveCrop(size)
    for number in range(2):
        expected = five(resize(made.image(number)))
        found = [crops.image(CROPS * number + crop) for crop in range(CROPS)]
        assert [image.tobytes() for image in found] == [image.tobytes() for image in expected]
        assert {image.size for image in found} == {(size, size)}


@pytest.mark.parametrize("photo", SIZES)
def test_crops_are_slices_of_the_resized_image(photo):
    size, larger = 24, side_for_crops(24)
    made = Made(1, photo)
    scale = larger / min(photo)
    resized = tuple(larger if side == min(photo) else int(side * scale) for side in photo)
    pixels = np.asarray(made.image(0).resize(resized, Image.Resampling.BICUBIC))
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    expected = [
        pixels[:size, :size],
        pixels[:size, -size:],
        pixels[-size:, :size],
        pixels[-size:, -size:],
        pixels[top : top + size, left : left + size],
    ]
    crops = FiveCrops(made, described(size))
    assert all(np.array_equal(crops.image(k), expected[k]) for k in range(CROPS))


def test_the_larger_side_is_lifts_and_always_larger():
    assert side_for_crops(224) == 224 + 24  # LIFT
    assert (side_for_crops(32), side_for_crops(384)) == (35, 425)
    assert all(side_for_crops(size) > size for size in range(1, 600))


def test_labels_repeat_and_a_run_of_crops_decodes_each_image_once():
    made, decoded = Made(4), []

    class Counting:
        labels = made.labels

        def image(self, index):
            decoded.append(index)
            return made.image(index)

    crops = FiveCrops(Counting(), described(24))
    assert len(crops) == 20
    assert crops.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [0] * 5
    for k in range(20):
        crops.image(k)
    assert decoded == [0, 1, 2, 3]
    assert crops.image(3).tobytes() == pickle.loads(pickle.dumps(FiveCrops(made, described(24)))).image(3).tobytes()
