"""Checkpoints of a run: what `config.json` says of its weights, and those that are kept on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ltzoo import checkpoints
from ltzoo.data import make_groups
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, build_model, model_arguments, recipe_to_dict
from ltzoo.train.facts import RunFacts
from ltzoo.train.run_folder import RunFolder


def description(facts: RunFacts, **own: Any) -> dict[str, Any]:
    """Say in `config.json` what a run's weights are.

    Args:
        facts: the record of the run.
        **own: what these weights have to themselves: `metrics` of the last epoch's, `epoch` of any other.
    """
    recipe, benchmark = facts.recipe, facts.benchmark
    groups = make_groups(recipe.groups, benchmark)
    return {
        "recipe": recipe_to_dict(recipe),
        "label_names": list(benchmark.data_set.class_names),
        "class_counts": list(benchmark.class_counts),
        "groups": {groups.rule: {name: list(classes) for name, classes in groups.classes.items()}},
        **own,
        **facts.origin(),
        "overrides": dict(facts.overrides),
        "run": facts.computed(),
        "versions": dict(facts.versions),
    }


def check_epochs(wanted: Sequence[int], recipe: Recipe) -> None:
    """See that a recipe has the epochs whose checkpoints are to be kept.

    Args:
        wanted: epochs, from 1.
        recipe: what is trained.

    Raises:
        InputError: it has one of them not, or one is named twice.
    """
    epochs = recipe.schedule.epochs
    for epoch in wanted:
        if not 1 <= epoch <= epochs:
            raise InputError(f"{recipe.name} has no epoch {epoch} to save; --save-epochs takes 1 to {epochs}")
        if wanted.count(epoch) > 1:
            raise InputError(f"--save-epochs names epoch {epoch} {wanted.count(epoch)} times; name it once")


def check_not_passed(folder: RunFolder, wanted: Sequence[int], recipe: Recipe, at_hand: int) -> None:
    """See that the epochs to keep are kept, or still can be.

    Args:
        folder: the run that is gone on with.
        wanted: epochs, from 1.
        recipe: what is trained.
        at_hand: the first epoch whose weights are at hand or still to come.

    Raises:
        InputError: an epoch has passed without being kept.
    """
    epochs = recipe.schedule.epochs
    passed = [epoch for epoch in wanted if epoch < at_hand and not folder.kept(epoch, epochs).exists()]
    if passed:
        raise InputError(
            f"the run in {folder.path} has passed epoch {', '.join(map(str, passed))} without keeping it; "
            "leave it out of --save-epochs, or name another --output"
        )


def keep_epoch(folder: RunFolder, facts: RunFacts, weights: Mapping[str, Tensor], epoch: int) -> None:
    """Write an epoch's weights, in float32 and without figures; what is kept already stays as it is.

    Args:
        folder: the run folder.
        facts: the record of the run.
        weights: the state dict that the epoch ended with.
        epoch: from 1.
    """
    place = folder.kept(epoch, facts.recipe.schedule.epochs)
    if place.exists():
        return
    # Models are built, which draws: the training that goes on must not see that.
    with torch.random.fork_rng(devices=[]), checkpoints.new_checkpoint(place) as fresh:
        data_set = facts.benchmark.data_set
        model = build_model(facts.recipe, data_set=data_set)
        model.load_state_dict(weights)
        checkpoints.write_model(fresh, model, model_arguments(facts.recipe, data_set))
        checkpoints.update_config(fresh, description(facts, epoch=epoch))
        checkpoints.write_card(fresh)
