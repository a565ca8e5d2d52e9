"""CPU seconds of training a head on cached features: `python benchmarks/head.py NAME --data-dir data`.

In one run, with the real trainer on one thread: the pass that computes the features of all training images once, steps
on these features, and steps of the same recipe that compute the features of each batch anew. A head that begins with
class means needs the pass over all images in both cases. CPU seconds leave out the time in which the process waits for
a core.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, Trainable, Weights
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions
from ltzoo.train.feature_batches import feature_source
from ltzoo.train.feature_cache import PLAIN
from ltzoo.train.run import Run
from ltzoo.train.run_resources import RunResources
from machine import choose_device
from one_stage import measure


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="head.py", description="Measure CPU seconds of training a head on cached features.")
    parser.add_argument("name", metavar="NAME", help="a recipe that trains the head alone")
    parser.add_argument("--steps", type=at_least_one, default=4, metavar="N", help="measured steps of each kind (4)")
    parser.add_argument("--initial-checkpoint", metavar="FILE", help="start from these weights, not the recipe's")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="holds the images (data)")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure, and print the seconds and their ratio."""
    device = choose_device("cpu")
    recipe = get_recipe(arguments.name)
    if recipe.trainable != Trainable("head", "frozen") or recipe.head.computed:
        raise InputError(f"{recipe.name} does not train the head alone, all else frozen; name a recipe that does")
    if arguments.initial_checkpoint:
        recipe = replace(recipe, start=Weights(arguments.initial_checkpoint))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = TrainOptions(arguments.data_dir, folder / "images", workers=0, threads=1)
        features = replace(images, output=folder / "features", cache_features=folder / "cache")
        plain = replace(recipe, views=(PLAIN,))
        once = seconds_of_features(Run(plain, features, RunResources(device)))
        cached, per_epoch = measure(plain, features, device, arguments.steps)
        anew, _ = measure(recipe, images, device, arguments.steps)
    print(*table(recipe, once, mean(cached) * per_epoch, mean(anew) * per_epoch), sep="\n")


def seconds_of_features(training: Run) -> float:
    """Compute the features of a run's training images; returns CPU seconds."""
    training.prepare()
    source = feature_source(training.prepared, training.delivery, say=lambda line: None)
    began = time.process_time()
    source.get(training.prepared.images.train, "train")
    return time.process_time() - began


def table(recipe: Recipe, once: float, cached: float, anew: float) -> list[str]:
    """Format the seconds of a whole run on features and on images."""
    epochs = recipe.schedule.epochs
    whole, through_network = once + epochs * cached, epochs * anew + (once if recipe.head.from_class_means else 0)
    return [
        "| CPU s | features once | an epoch | all epochs |",
        "| --- | ---: | ---: | ---: |",
        f"| `{recipe.name}` on cached features | {once:.1f} | {cached:.2f} | {whole:.1f} |",
        f"| the same through the network | | {anew:.1f} | {through_network:.0f} |",
        f"| ratio | | {anew / cached:.0f} | {through_network / whole:.1f} |",
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
