"""`ltzoo inspect`: check an image folder, and suggest a recipe to begin with."""

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import add_files_options, check_written_files, parse_held_out, writable
from ltzoo.cli.data_location import location_options, open_splits
from ltzoo.cli.inspect_report import describe, list_notes, list_warnings, warn_of_lists, warn_of_shared
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_suggestion import suggest_hold_out, suggest_options, suggest_recipe
from ltzoo.data import NATURAL_BENCHMARKS, NaturalBenchmark
from ltzoo.data.files import ImageFiles, profile_files, where_test_is
from ltzoo.data.files.profile import Profile
from ltzoo.errors import counted, printable
from ltzoo.evaluate import draw_class_counts


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Check your own images before training on them: class counts, groups, damaged files, copies; and "
        "which recipe to begin with. Every image is opened once.",
        examples=["ltzoo inspect photos --picture counts.png", "ltzoo inspect photos --hold-out 0.1"],
    )
    parser.add_argument("data_dir", type=Path, metavar="DIR", help="where the images are: --data-dir of train")
    parser.add_argument(
        "--benchmark",
        choices=list(NATURAL_BENCHMARKS),
        default="imagefolder",
        help="which benchmark it is (%(default)s: your own images)",
    )
    parser.add_argument(
        "--hold-out",
        "--holdout",
        type=parse_held_out,
        metavar="N",
        help="hold N images per class out of training (below 1: that share of each class) and take them as the test "
        "split",
    )
    add_files_options(parser)
    parser.add_argument("--download", action="store_true", help="download a Hub data set that is not there")
    parser.add_argument("--quick", action="store_true", help="count files without opening an image")
    files = parser.add_argument_group("files to write")
    files.add_argument("--picture", type=writable, metavar="PNG", help="bar chart of the images of each class, sorted")
    files.add_argument("--json", type=writable, metavar="FILE", help="everything that was found")
    return parser


@dataclass(frozen=True)
class Inspection:
    """What was found in the images.

    Attributes:
        profile: class counts, groups and contents.
        measured: what to call the images that accuracy would be measured on: `test` or `held out`.
        warnings: what is wrong with the images, one line each.
        notes: what was left out or read in a way that is worth knowing, one line each.
    """

    profile: Profile
    measured: str
    warnings: list[str]
    notes: list[str]

    def print(self, data_dir: Path) -> None:
        """Print class counts, groups, warnings and notes."""
        print(f"{printable(str(data_dir))}: {counted(len(self.profile.class_names), 'class', 'classes')}")
        print(describe(self.profile, self.measured))
        print("".join(f"warning: {line}\n" for line in self.warnings) + "".join(f"note: {n}\n" for n in self.notes))


def inspect_images(
    arguments: argparse.Namespace,
    benchmark: NaturalBenchmark,
    train: ImageFiles,
    test: ImageFiles | None,
    *,
    held_out: bool,
    quick: bool = False,
) -> Inspection:
    """Open every image once, behind a progress bar.

    Args:
        arguments: as for `location_of`.
        benchmark: what the images are.
        train: the training images.
        test: those that accuracy would be measured on; None where there are none.
        held_out: whether they were held out of the training split.
        quick: open no image.
    """
    images = len(train) + (0 if test is None else len(test))
    with tqdm(total=images, unit="image", dynamic_ncols=True, disable=quick or None) as bar:
        profile = profile_files(train, test, progress=bar.update, benchmark=benchmark, quick=quick)
    label = "held out" if held_out else "test"
    warnings = list_warnings(profile, label, where_test_is(arguments.data_dir))
    warnings += warn_of_shared(train, test) if quick and test is not None else []
    warnings += warn_of_lists(benchmark, train, test, held_out)
    notes = list_notes(profile.contents, [train] if test is None else [train, test])
    return Inspection(profile, label, warnings, notes)


def command(arguments: argparse.Namespace) -> None:
    """Check the images, print a report, write the files asked for."""
    check_written_files(arguments, {"picture": (".png",), "json": ()})
    benchmark = NATURAL_BENCHMARKS[arguments.benchmark]
    train, test = open_splits(arguments, benchmark, arguments.hold_out)
    held_out = arguments.hold_out is not None
    found = inspect_images(arguments, benchmark, train, test, held_out=held_out, quick=arguments.quick)
    profile = found.profile
    suggestion = suggest_recipe(profile, benchmark.name)
    options = [(option, "") for option in location_options(arguments)]
    options += suggest_hold_out(profile, arguments.hold_out) + suggest_options(profile, suggestion.recipe)
    words = ["ltzoo", "train", "--recipe", suggestion.recipe.name]
    words += [word for part, _ in options for word in part]
    found.print(arguments.data_dir)
    print(f"suggested: {suggestion.recipe.name}, since {suggestion.reason}\n  {printable(shlex.join(words))}")
    print(reasons(options), end="")
    if arguments.picture:
        by_count, thirds = profile.groups
        shaded = by_count if all(by_count.classes.values()) else thirds
        title = f"{printable(arguments.data_dir.resolve().name)}: IF {profile.imbalance_factor:.3g}"
        draw_class_counts(arguments.picture, title, profile.train_counts, profile.test_counts, shaded, found.measured)
    if arguments.json:
        document = {
            "data_dir": str(arguments.data_dir),
            "benchmark": benchmark.name,
            "hold_out": arguments.hold_out,
            **profile.to_dict(),
            "warnings": found.warnings,
            "notes": found.notes,
            "suggestion": {"recipe": suggestion.recipe.name, "reason": suggestion.reason, "command": words},
        }
        write_text(arguments.json, json.dumps(document, indent=1) + "\n")


def reasons(options: list[tuple[list[str], str]]) -> str:
    """Format a line for each option that has a reason."""
    return "".join(f"    {printable(shlex.join(part))}: {why}\n" for part, why in options if why)


def main(argv: list[str] | None = None, prog: str = "ltzoo inspect") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
