"""What `ltzoo fit` will train: the suggested recipe and options, or the user's own in their place."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltzoo.cli.inspect import reasons
from ltzoo.cli.recipe_suggestion import SHARE, suggest_options, suggest_recipe
from ltzoo.data.files.profile import Profile
from ltzoo.errors import InputError, printable
from ltzoo.recipes import Fresh, Recipe, get_recipe, read_recipe


@dataclass(frozen=True)
class Plan:
    """What will be trained.

    Attributes:
        recipe: the name of the recipe, or a YAML file of one.
        reason: why this one.
        added: options that the user did not give, each with its reason.
        words: all words of the `ltzoo train` command, which trains the same.
    """

    recipe: str
    reason: str
    added: list[tuple[list[str], str]]
    words: list[str]

    def __str__(self) -> str:
        command = printable(shlex.join(["ltzoo", "train", *self.words]))
        return f"recipe: {printable(self.recipe)}, {self.reason}\n  {command}\n{reasons(self.added)}".rstrip("\n")


def make_plan(arguments: argparse.Namespace, given: Sequence[str], profile: Profile, no_test: bool) -> Plan:
    """Decide what is trained; whatever the user gave is taken in place of what would be suggested.

    Args:
        arguments: those of `ltzoo fit`, after `check_recipe`.
        given: the user's words that are options of `ltzoo train`.
        profile: the images that are trained on, and those that are measured on. The recipe follows from the class
            counts, so that it is the same before the images are opened.
        no_test: whether there is no test split, so that images are held out although the user did not ask for it.
    """
    suggestion = suggest_recipe(profile, "imagefolder")
    added: list[tuple[list[str], str]] = []
    if arguments.recipe is None:
        recipe, name, reason = suggestion.recipe, suggestion.recipe.name, f"since {suggestion.reason}"
    else:
        recipe, name = _recipe(arguments.recipe), arguments.recipe
        reason = "as asked for"
        if recipe.name != suggestion.recipe.name:
            reason += f"; suggested would be {suggestion.recipe.name}, since {suggestion.reason}"
    if no_test:
        added.append((["--hold-out", str(SHARE)], "there is no test split, so accuracy is measured on these images"))
    added += [option for option in suggest_options(profile, recipe) if not _is_given(option[0], arguments)]
    first = [] if arguments.recipe else ["--recipe", name]
    chosen = [word for option, _ in added for word in option]
    return Plan(name, reason, added, [*first, "--data-dir", str(arguments.data_dir), *chosen, *given])


def _recipe(name: str) -> Recipe:
    recipe = read_recipe(Path(name)) if name.endswith((".yaml", ".yml")) else get_recipe(name)
    if recipe.benchmark != "imagefolder":
        raise InputError(
            f"{name} is a recipe for {recipe.benchmark}, and fit trains on images of your own; name one of "
            "ltzoo list '*imagefolder*', or use ltzoo train"
        )
    return recipe


def check_recipe(arguments: argparse.Namespace) -> None:
    """Check the recipe that the user names, and where training is asked to begin.

    Args:
        arguments: those of `ltzoo fit`.

    Raises:
        InputError: the recipe is not one for images in folders, or does not begin as it was asked to.
    """
    recipe = None if arguments.recipe is None else _recipe(arguments.recipe)
    if not arguments.fresh:
        return
    if arguments.pretrained or arguments.initial_checkpoint:
        raise InputError("--fresh starts from fresh weights, and another option names trained ones; choose one")
    if recipe is not None and not isinstance(recipe.start, Fresh):
        raise InputError(f"{recipe.name} starts from trained weights ({recipe.start.name}); leave --fresh out")


def _is_given(option: Sequence[str], arguments: argparse.Namespace) -> bool:
    """Return whether the user has decided what a suggested option says."""
    sets = {text.split("=")[0].split(".")[0] for text in arguments.set}
    flag = option[0]
    if flag == "--pretrained":
        return bool(arguments.pretrained or arguments.initial_checkpoint or arguments.fresh or "start" in sets)
    if flag == "--batch-size":
        return arguments.batch_size is not None or "batch_size" in sets
    if flag == "--skip-unreadable":
        return arguments.skip_unreadable is not None
    return flag == "--set" and option[1].split("=")[0] in sets
