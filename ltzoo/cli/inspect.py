"""`python -m ltzoo inspect`: what an image folder is like, and which recipe to begin with."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ltzoo.cli.parser import Parser, add_files_options, held_out, run, writable
from ltzoo.cli.suggest import Suggestion, suggest_options, suggest_recipe
from ltzoo.data import NATURAL_BENCHMARKS, NaturalBenchmark
from ltzoo.data.files import ImageFiles, Place, check_present, hold_out_files, open_files
from ltzoo.data.files.names import shown
from ltzoo.data.files.own import unread_lists
from ltzoo.data.files.profile import FEW, Contents, Copy, Profile, profile_files
from ltzoo.errors import InputError
from ltzoo.evaluate import draw_class_counts
from ltzoo.whole_file import whole_file

_SHARE = 0.1
"""What is suggested to be held out."""


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Look at images of your own before anything is trained on them: class counts, groups, damaged "
        "files, copies; and which recipe to begin with. Every image is opened once.",
    )
    parser.add_argument("data_dir", type=Path, metavar="DIR", help="where the images lie: train.py's --data-dir")
    parser.add_argument(
        "--benchmark",
        choices=list(NATURAL_BENCHMARKS),
        default="imagefolder",
        help="what lies there (%(default)s: whatever it is)",
    )
    parser.add_argument(
        "--hold-out",
        "--holdout",
        type=held_out,
        metavar="N",
        help="hold N images a class out of training, below 1 that share of each class, and look at those in the place "
        "of the test split",
    )
    add_files_options(parser)
    parser.add_argument("--download", action="store_true", help="fetch a Hub data set that is not there")
    parser.add_argument("--quick", action="store_true", help="count files and open no image")
    files = parser.add_argument_group("files to write")
    files.add_argument("--picture", type=writable, metavar="PNG", help="images of each class, sorted")
    files.add_argument("--json", type=writable, metavar="FILE", help="all that was found")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Look, print; write what was asked for."""
    _check_files(arguments)
    benchmark = NATURAL_BENCHMARKS[arguments.benchmark]
    train, test = _open_splits(arguments)
    label = "test" if arguments.hold_out is None else "held out"
    images = len(train) + (0 if test is None else len(test))
    with tqdm(total=images, unit="image", dynamic_ncols=True, disable=arguments.quick or None) as bar:
        profile = profile_files(train, test, progress=bar.update, benchmark=benchmark, quick=arguments.quick)
    suggestion = suggest_recipe(profile, benchmark.name)
    options = _options(arguments, profile, suggestion)
    words = ["python", "-m", "ltzoo", "train", "--recipe", suggestion.recipe.name]
    words += [word for part, _ in options for word in part]
    warnings = list_warnings(profile, label) + _warn_of_lists(benchmark, train, test, arguments.hold_out is not None)
    print(f"{shown(str(arguments.data_dir))}: {_number(len(train.class_names), 'class', 'classes')}")
    print(describe(profile, label))
    print("".join(f"warning: {warning}\n" for warning in warnings))
    print(f"suggested: {suggestion.recipe.name}, since {suggestion.reason}\n  {shown(shlex.join(words))}")
    print("".join(f"    {shlex.join(part)}: {why}\n" for part, why in options if why), end="")
    if arguments.picture:
        by_count, thirds = profile.groups
        shaded = by_count if all(by_count.classes.values()) else thirds
        title = f"{shown(arguments.data_dir.resolve().name)}: IF {profile.imbalance_factor:.3g}"
        draw_class_counts(arguments.picture, title, profile.train_counts, profile.test_counts, shaded, label)
    if arguments.json:
        document = {
            "data_dir": str(arguments.data_dir),
            "benchmark": benchmark.name,
            "hold_out": arguments.hold_out,
            **profile.to_dict(),
            "warnings": warnings,
            "suggestion": {"recipe": suggestion.recipe.name, "reason": suggestion.reason, "command": words},
        }
        with whole_file(arguments.json) as fresh:
            fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _open_splits(arguments: argparse.Namespace) -> tuple[ImageFiles, ImageFiles | None]:
    """Find the training images, and those that accuracy would be measured on."""
    benchmark = NATURAL_BENCHMARKS[arguments.benchmark]
    place = Place(
        arguments.data_dir,
        arguments.image_root,
        arguments.image_column,
        arguments.label_column,
        download=arguments.download,
    )
    train = open_files(benchmark, "train", place)
    if train is None:
        raise InputError(f"there are no training images in {arguments.data_dir}; name another folder")
    check_present(train)
    if arguments.hold_out is not None:
        return hold_out_files(train, arguments.hold_out)
    test = open_files(benchmark, "test", place, train.class_names)
    if test is not None:
        check_present(test)
    return train, test


def _options(arguments: argparse.Namespace, profile: Profile, suggestion: Suggestion) -> list[tuple[list[str], str]]:
    """List the options of the command that trains what is suggested, each with its reason where it needs one."""
    options = [(["--data-dir", str(arguments.data_dir)], "")]
    if arguments.image_root is not None:
        options.append((["--image-root", str(arguments.image_root)], ""))
    if arguments.image_column != Place.image_column:
        options.append((["--image-column", arguments.image_column], ""))
    if arguments.label_column != Place.label_column:
        options.append((["--label-column", arguments.label_column], ""))
    if arguments.hold_out is not None:
        options.append((["--hold-out", str(arguments.hold_out)], ""))
    elif profile.test_counts is None:
        options.append((["--hold-out", str(_SHARE)], "there is no test split"))
    return options + suggest_options(profile, suggestion.recipe)


def describe(profile: Profile, test: str = "test") -> str:
    """Lay out counts and groups.

    Args:
        profile: what was found.
        test: what the test images are, in a word or two.
    """
    splits = {"train": profile.train_counts} | ({test: profile.test_counts} if profile.test_counts else {})
    rows = [["", "images", "classes", "IF", "largest class", "smallest class"]]
    for label, counts in splits.items():
        most, fewest = max(counts), min(counts)
        factor = f"{most / fewest:,.1f}" if fewest else ""
        ends = [f"{shown(profile.class_names[counts.index(n)])} {n:,}" for n in (most, fewest)]
        rows.append([label, f"{sum(counts):,}", f"{sum(n > 0 for n in counts):,}", factor, *ends])
    groups = [["groups", *(f"{name}: classes, images" for name in ("head", "mid", "tail"))]]
    for grouping in profile.groups:
        cells = [f"{len(held):,}, {sum(profile.train_counts[j] for j in held):,}" for held in grouping.classes.values()]
        groups.append([grouping.rule, *cells])
    tenth, share = profile.largest_tenth
    lines = [
        _table(rows),
        "",
        _table(groups),
        "",
        f"the largest tenth of the classes ({tenth:,}) holds {100 * share:.1f} % of the training images; "
        f"{len(profile.few):,} of {len(profile.class_names):,} classes have fewer than {FEW}",
    ]
    if profile.contents and profile.contents.smallest:
        split, name, width, height = profile.contents.smallest
        lines.append(
            f"median shorter side {profile.contents.shorter_side:g} pixels; the smallest image is {width} x {height} "
            f"({split} {shown(name)})"
        )
    return "\n".join(lines)


def list_warnings(profile: Profile, test: str = "test") -> list[str]:
    """Say what is amiss, a line each; the worst first.

    Args:
        profile: what was found.
        test: what the test images are, in a word or two.
    """
    found = _warn_of_contents(profile.contents, test) if profile.contents else []
    if profile.test_counts is None:
        alone = ", and a class of one image has none to give: training refuses both" if profile.one_image else ""
        found.append(f"there is no test split; bring one, or hold images out with --hold-out {_SHARE}{alone}")
    if len(profile.class_names) == 1:
        found.append("there is one class: nothing is to be told apart, and training refuses it")
    for names, what in (
        (profile.one_image, "with a single training image"),
        (profile.without_test, f"without a {test.replace(' ', '-')} image, which training refuses"),
    ):
        if names:
            found.append(f"{_number(len(names), 'class', 'classes')} {what}: {_first(names)}")
    return found


def _warn_of_lists(
    benchmark: NaturalBenchmark, train: ImageFiles, test: ImageFiles | None, held_out: bool
) -> list[str]:
    """Say what the lists make doubtful: what is not read beside a single class, and images that are not all."""
    found = []
    unread = [str(path) for path in unread_lists(train)] if len(train.class_names) == 1 else []
    if unread:
        found.append(
            f"nothing reads {_first(unread)}; if it lists the images and their classes, name it in place of DIR"
        )
    images = len(train) + (len(test) if held_out and test is not None else 0)
    if benchmark.train_images not in (None, images):
        found.append(
            f"{benchmark.name} has {benchmark.train_images:,} training images, and here are {images:,}: figures are "
            "not those of the benchmark"
        )
    return found


def _warn_of_contents(contents: Contents, test: str) -> list[str]:
    """Say what opening the images has shown."""
    found = []
    measured = "test" if test == "test" else "what is held out"

    def warn(images: Sequence[tuple[Copy, ...]], what: str) -> None:
        if images:
            named = [
                _first([f"{copy.split} {copy.name} ({copy.class_name})" for copy in same], " = ") for same in images
            ]
            found.append(f"{_number(len(images), 'image')} {what}: {_first(named)}")

    warn(contents.leaked, f"both in train and in {measured}: figures on them are worthless; keep each in one")
    warn(contents.contradictory, "with more than one label")
    unreadable = [
        f"{split} {image.name} ({image.reason})" for split, images in contents.unreadable.items() for image in images
    ]
    if unreadable:
        found.append(
            f"{_number(len(unreadable), 'image')} that cannot be read; mend or remove them: {_first(unreadable)}"
        )
    if contents.emptied:
        found.append(f"no training image can be read of {_first(contents.emptied)}, which training refuses")
    warn(contents.repeated_in("train"), "more than once in train")
    warn(contents.repeated_in("test"), f"more than once in {measured}")
    return found


def _first(names: Sequence[str], joint: str = ", ") -> str:
    """Name the first three."""
    return joint.join([*map(shown, names[:3]), *(["..."] if len(names) > 3 else [])])


def _number(n: int, one: str, several: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}"
        + "".join(f"{cell:>{width + 2}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _check_files(arguments: argparse.Namespace) -> None:
    """See that the files to write can be told apart, and that the picture's name ends as it must."""
    if arguments.picture and arguments.picture.suffix != ".png":
        raise InputError(f"--picture cannot write {arguments.picture.name!r}; end the name in .png")
    if arguments.picture and arguments.json and arguments.picture.resolve() == arguments.json.resolve():
        raise InputError(f"--picture and --json name the same file {arguments.json}; name two")


def main(argv: list[str] | None = None, prog: str = "inspect") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
