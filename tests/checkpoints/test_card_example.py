"""The card's example feeds a model the pixels that its figures were measured on."""

import json
import re
import subprocess
import sys

import pytest
import timm
import torch

import ltzoo
from ltzoo.checkpoints import PACKAGED, card, loading_library, save_checkpoint, write_card
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import get_recipe

NAME = "resnet20_digitslt_ce_sgd"


def example_of(folder):
    """The example of a checkpoint's card."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]


def test_the_transform_of_the_card_gives_the_cards_accuracy():
    names = {}
    exec(example_of(PACKAGED / NAME).replace(f'"{NAME}"', f'"local-dir:{PACKAGED / NAME}"'), names)
    test = ltzoo.create_dataset("digitslt", split="test", transform=None)
    images = torch.stack([names["transform"](image) for image, _ in test])
    with torch.no_grad():
        predicted = names["model"](images).argmax(dim=1)
    right = (predicted == torch.tensor(test.targets)).double().mean()
    metrics = json.loads((PACKAGED / NAME / "metrics.json").read_text(encoding="utf-8"))
    assert 100 * float(right) == pytest.approx(metrics["last"]["overall"])


@pytest.mark.parametrize(
    ("architecture", "library"),
    [("resnet18.a1_in1k", "timm"), ("resnet18", "timm"), ("resnet20_cifar", "ltzoo"), ("resnet50_cosine", "ltzoo")],
)
def test_stock_timm_loads_its_own_networks(architecture, library):
    assert loading_library(architecture) == library


def test_the_example_for_a_network_of_timm_needs_no_ltzoo(tmp_path):
    save_checkpoint(tmp_path / "photos", timm.create_model("test_resnet", num_classes=3))
    write_card(tmp_path / "photos", f"local-dir:{tmp_path / 'photos'}")
    ended = f"{example_of(tmp_path / 'photos')}\nimport sys\nprint(tuple(logits.shape), 'ltzoo' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", ended], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "(1, 3) False"


@pytest.mark.parametrize(
    ("architecture", "comment", "library"),
    [
        ("test_resnet", "finds the checkpoint by its name", "timm"),
        ("resnet20_cifar", "registers the architecture with timm", "ltzoo"),
    ],
)
def test_the_card_of_a_recipes_name_says_what_ltzoo_is_for(architecture, comment, library, tmp_path):
    save_checkpoint(tmp_path, timm.create_model(architecture, num_classes=10))
    recipe = recipe_to_dict(get_recipe("resnet20_digitslt_ce_sgd"))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config |= {"recipe": recipe, "class_counts": [1] * 10, "overrides": {}}
    assert f"import ltzoo  # {comment}" in "\n".join(card._use(config, "photos"))
    assert card.card_data(config, None).to_dict()["library_name"] == library
