"""The card's example feeds a model the pixels that its figures were measured on."""

import json
import re

import pytest
import torch

import ltzoo
from ltzoo.checkpoints import PACKAGED

NAME = "resnet20_digitslt_ce_sgd"


def test_the_transform_of_the_card_gives_the_cards_accuracy():
    card = (PACKAGED / NAME / "README.md").read_text(encoding="utf-8")
    names = {}
    example = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    exec(example.replace(f'"{NAME}"', f'"local-dir:{PACKAGED / NAME}"'), names)
    test = ltzoo.create_dataset("digitslt", split="test", transform=None)
    images = torch.stack([names["transform"](image) for image, _ in test])
    with torch.no_grad():
        predicted = names["model"](images).argmax(dim=1)
    right = (predicted == torch.tensor(test.targets)).double().mean()
    metrics = json.loads((PACKAGED / NAME / "metrics.json").read_text(encoding="utf-8"))
    assert 100 * float(right) == pytest.approx(metrics["last"]["overall"])
