"""`ltzoo inspect`: check an image folder, and suggest a recipe to begin with."""

import argparse
import json
import shlex
from pathlib import Path

from tqdm import tqdm

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import add_files_options, held_out, writable
from ltzoo.cli.data_location import location_of
from ltzoo.cli.inspect_report import describe, list_notes, list_warnings, warn_of_lists, warn_of_shared
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_suggestion import Suggestion, suggest_options, suggest_recipe
from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import (
    DataLocation,
    ImageFiles,
    check_present,
    hold_out_files,
    open_files,
    profile_files,
    where_test_is,
)
from ltzoo.data.files.profile import Profile
from ltzoo.errors import InputError, counted, printable
from ltzoo.evaluate import draw_class_counts

_SHARE = 0.1
"""The share of each class that is suggested to be held out."""


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
        type=held_out,
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


def command(arguments: argparse.Namespace) -> None:
    """Check the images, print a report, write the files asked for."""
    _check_files(arguments)
    benchmark = NATURAL_BENCHMARKS[arguments.benchmark]
    train, test = _open_splits(arguments)
    label = "test" if arguments.hold_out is None else "held out"
    images = len(train) + (0 if test is None else len(test))
    with tqdm(total=images, unit="image", dynamic_ncols=True, disable=arguments.quick or None) as bar:
        profile = profile_files(train, test, progress=bar.update, benchmark=benchmark, quick=arguments.quick)
    suggestion = suggest_recipe(profile, benchmark.name)
    options = _options(arguments, profile, suggestion)
    words = ["ltzoo", "train", "--recipe", suggestion.recipe.name]
    words += [word for part, _ in options for word in part]
    warnings = list_warnings(profile, label, where_test_is(arguments.data_dir))
    warnings += warn_of_shared(train, test) if arguments.quick and test is not None else []
    warnings += warn_of_lists(benchmark, train, test, arguments.hold_out is not None)
    notes = list_notes(profile.contents, [train] if test is None else [train, test])
    print(f"{printable(str(arguments.data_dir))}: {counted(len(train.class_names), 'class', 'classes')}")
    print(describe(profile, label))
    lines = [f"warning: {warning}\n" for warning in warnings] + [f"note: {note}\n" for note in notes]
    print("".join(lines))
    print(f"suggested: {suggestion.recipe.name}, since {suggestion.reason}\n  {printable(shlex.join(words))}")
    print("".join(f"    {shlex.join(part)}: {why}\n" for part, why in options if why), end="")
    if arguments.picture:
        by_count, thirds = profile.groups
        shaded = by_count if all(by_count.classes.values()) else thirds
        title = f"{printable(arguments.data_dir.resolve().name)}: IF {profile.imbalance_factor:.3g}"
        draw_class_counts(arguments.picture, title, profile.train_counts, profile.test_counts, shaded, label)
    if arguments.json:
        document = {
            "data_dir": str(arguments.data_dir),
            "benchmark": benchmark.name,
            "hold_out": arguments.hold_out,
            **profile.to_dict(),
            "warnings": warnings,
            "notes": notes,
            "suggestion": {"recipe": suggestion.recipe.name, "reason": suggestion.reason, "command": words},
        }
        write_text(arguments.json, json.dumps(document, indent=1) + "\n")


def _open_splits(arguments: argparse.Namespace) -> tuple[ImageFiles, ImageFiles | None]:
    """Open the training images, and those that accuracy would be measured on."""
    benchmark = NATURAL_BENCHMARKS[arguments.benchmark]
    location = location_of(arguments)
    train = open_files(benchmark, "train", location)
    if train is None:
        raise InputError(f"there are no training images in {arguments.data_dir}; name another folder")
    check_present(train)
    if arguments.hold_out is not None:
        return hold_out_files(train, arguments.hold_out)
    test = open_files(benchmark, "test", location, train.class_names)
    if test is not None:
        check_present(test)
    return train, test


def _options(arguments: argparse.Namespace, profile: Profile, suggestion: Suggestion) -> list[tuple[list[str], str]]:
    """List the options of the suggested command, each with its reason where it needs one."""
    options = [(["--data-dir", str(arguments.data_dir)], "")]
    if arguments.image_root is not None:
        options.append((["--image-root", str(arguments.image_root)], ""))
    if arguments.image_column != DataLocation.image_column:
        options.append((["--image-column", arguments.image_column], ""))
    if arguments.label_column != DataLocation.label_column:
        options.append((["--label-column", arguments.label_column], ""))
    if arguments.image_suffix:
        options.append((["--image-suffix", arguments.image_suffix], ""))
    if arguments.class_folder != DataLocation.class_folder:
        options.append((["--class-folder", arguments.class_folder], ""))
    if arguments.hold_out is not None:
        options.append((["--hold-out", str(arguments.hold_out)], ""))
    elif profile.test_counts is None:
        options.append((["--hold-out", str(_SHARE)], "there is no test split"))
    return options + suggest_options(profile, suggestion.recipe)


def _check_files(arguments: argparse.Namespace) -> None:
    """Check that the two files to write differ, and the suffix of the picture."""
    if arguments.picture and arguments.picture.suffix != ".png":
        raise InputError(f"--picture cannot write {arguments.picture.name!r}; end the name in .png")
    if arguments.picture and arguments.json and arguments.picture.resolve() == arguments.json.resolve():
        raise InputError(f"--picture and --json name the same file {arguments.json}; name two")


def main(argv: list[str] | None = None, prog: str = "ltzoo inspect") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
