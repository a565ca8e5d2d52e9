"""The card's example feeds a model the pixels that its figures were measured on."""

import json
import re
import subprocess
import sys

import pytest
import timm
import torch

import ltzoo
from ltzoo.checkpoints import PACKAGED, card, loading_library, save_checkpoint, update_config, write_card
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import get_recipe

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


@pytest.mark.parametrize(
    ("architecture", "address", "library"),
    [
        ("resnet18.a1_in1k", "hf-hub:me/photos", "timm"),
        ("resnet18", "local-dir:photos", "timm"),
        ("resnet18", "resnet18_photos", "ltzoo"),
        ("resnet20_cifar", "hf-hub:me/photos", "ltzoo"),
        ("resnet50_cosine", "local-dir:photos", "ltzoo"),
    ],
)
def test_stock_timm_loads_its_own_networks(architecture, address, library):
    assert loading_library(architecture, address) == library


def test_the_example_for_a_network_of_timm_needs_no_ltzoo(tmp_path):
    save_checkpoint(tmp_path / "photos", timm.create_model("test_resnet", num_classes=3))
    write_card(tmp_path / "photos", f"local-dir:{tmp_path / 'photos'}")
    card = (tmp_path / "photos" / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    ended = f"{example}\nimport sys\nprint(tuple(logits.shape), 'ltzoo' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", ended], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "(1, 3) False"


@pytest.mark.parametrize(
    ("name", "architecture", "comment", "library"),
    [
        ("photos", "test_resnet", "finds the checkpoint by its name", "timm"),
        ("photos", "resnet20_cifar", "registers the architecture with timm", "ltzoo"),
    ],
)
def test_the_card_of_a_recipes_name_says_what_ltzoo_is_for(name, architecture, comment, library, tmp_path):
    save_checkpoint(tmp_path / name, timm.create_model(architecture, num_classes=10))
    recipe = recipe_to_dict(get_recipe("resnet20_digitslt_ce_sgd"))
    update_config(tmp_path / name, {"recipe": recipe, "class_counts": [1] * 10, "overrides": {}})
    config = json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))
    assert f"import ltzoo  # {comment}" in "\n".join(card._use(config, name))
    assert card.card_data(config, None).library_name == library
