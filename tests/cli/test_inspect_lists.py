"""What `inspect` says of lists: those that nothing reads, and those that are not the benchmark's."""

from dataclasses import replace

import numpy as np
import pytest

from ltzoo.cli.inspect import main
from ltzoo.data import NATURAL_BENCHMARKS
from tests.data.conftest import png


def warnings(*argv, capsys):
    assert main([str(word) for word in argv]) == 0
    return [
        line.removeprefix("warning: ") for line in capsys.readouterr().out.splitlines() if line.startswith("warning")
    ]


def test_a_list_beside_a_single_class_is_named(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    (tmp_path / "labels.csv").write_text("image,label\n")
    found = warnings(tmp_path, capsys=capsys)
    assert "there is only one class: there is nothing to classify, and training refuses it" in found
    assert found[-1] == (
        f"{tmp_path}/labels.csv is not read; if it lists the images and their classes, name it instead of DIR"
    )


@pytest.mark.parametrize("images", [6, 5])
def test_a_list_that_is_not_the_benchmarks_is_said_to_be_none(tmp_path, capsys, monkeypatch, images):
    monkeypatch.setitem(
        NATURAL_BENCHMARKS, "imagenetlt", replace(NATURAL_BENCHMARKS["imagenetlt"], num_classes=2, train_images=6)
    )
    (tmp_path / "imagenetlt").mkdir()
    for split, first in (("train", 0), ("test", 6)):
        lines = [f"{k}.png {k % 2}\n" for k in range(first, first + images)]
        (tmp_path / "imagenetlt" / f"ImageNet_LT_{split}.txt").write_text("".join(lines))
    for k in range(12):
        (tmp_path / "imagenetlt" / f"{k}.png").write_bytes(png(np.full((4, 4, 3), k, np.uint8)))
    for options in ((), ("--hold-out", "1")):
        found = warnings(tmp_path, "--benchmark", "imagenetlt", "--quick", *options, capsys=capsys)
        expected = "imagenetlt has 6 training images, here are 5: accuracies are not comparable with the benchmark's"
        assert found[-1:] == ([] if images == 6 else [expected])
