"""Steps on random images: batches, a step of a recipe, and its weights."""

import torch
from accelerate import Accelerator

from ltzoo.recipes import Recipe
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe
from ltzoo.train.step import Step

SGD = get_recipe("resnet20_digitslt_ce_sgd")
COUNTS = SGD.data.class_counts


def batches(count: int, size: int = 8, device: str = "cpu") -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for step in range(count):
        images = torch.randn(size if step % 5 else size - 3, 1, 16, 16, generator=generator)
        made.append((images.to(device), torch.randint(0, 10, (len(images),), generator=generator).to(device)))
    return made


def make(recipe: Recipe, kind: type[Step] = Step, device: str = "cpu", **options) -> Step:
    torch.manual_seed(0)
    return kind(
        recipe,
        COUNTS,
        build_model(recipe).to(device),
        Accelerator(cpu=device == "cpu"),
        0,
        None,
        **options,
    )


def weights(step: Step) -> torch.Tensor:
    return torch.cat([value.detach().flatten().float() for value in step.evaluated.state_dict().values()])
