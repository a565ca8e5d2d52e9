"""What `ltzoo inspect` prints of an image folder: class counts, groups and warnings."""

from collections.abc import Sequence
from functools import partial

from ltzoo.data import NaturalBenchmark
from ltzoo.data.files import ImageFiles, shared_files
from ltzoo.data.files.profile import FEW, Contents, Copy, Profile
from ltzoo.data.files.splits import unread_lists
from ltzoo.errors import counted, first_few, printable

_first = partial(first_few, most=3)


def describe(profile: Profile, test: str = "test") -> str:
    """Format class counts and groups as tables.

    Args:
        profile: what was found.
        test: what to call the test images: `test` or `held out`.
    """
    splits = {"train": profile.train_counts} | ({test: profile.test_counts} if profile.test_counts else {})
    rows = [["", "images", "classes", "IF", "largest class", "smallest class"]]
    for label, counts in splits.items():
        most, fewest = max(counts), min(counts)
        factor = f"{most / fewest:,.1f}" if fewest else ""
        ends = [f"{printable(profile.class_names[counts.index(n)])} {n:,}" for n in (most, fewest)]
        rows.append([label, f"{sum(counts):,}", f"{sum(n > 0 for n in counts):,}", factor, *ends])
    groups = [["classes, images", "head (many-shot)", "mid (medium-shot)", "tail (few-shot)"]]
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
            f"({split} {printable(name)})"
        )
    return "\n".join(lines)


def list_warnings(profile: Profile, test: str = "test", test_is: str | None = None) -> list[str]:
    """List everything that is wrong with the images, one line each, the worst first.

    Args:
        profile: what was found.
        test: what to call the test images: `test` or `held out`.
        test_is: where a test split is that is not read, see `where_test_is`.
    """
    found = _warn_of_contents(profile.contents, test) if profile.contents else []
    if profile.test_counts is None:
        alone = "; training refuses a class with a single image, which cannot be held out" if profile.one_image else ""
        found.append(f"there is no test split; {test_is or 'add one'}, or hold images out with --hold-out 0.1{alone}")
    if len(profile.class_names) == 1:
        found.append("there is only one class: there is nothing to classify, and training refuses it")
    for names, what in (
        (profile.one_image, "with a single training image"),
        (profile.without_test, f"without a {test.replace(' ', '-')} image, which training refuses"),
    ):
        if names:
            found.append(f"{counted(len(names), 'class', 'classes')} {what}: {_first(names)}")
    return found


def list_notes(contents: Contents | None, splits: Sequence[ImageFiles]) -> list[str]:
    """List what was left out or read in a way that is worth knowing, one line each.

    Args:
        contents: what was found by opening the images; None where they were not opened.
        splits: the splits, as opened.
    """
    found = list(dict.fromkeys(note for files in splits for note in files.notes))
    for what, unusual in (contents.unusual if contents else {}).items():
        named = _first([f"{split} {name}" for split, name in unusual.first])
        found.append(f"{counted(unusual.images, 'image')} {what}: {named}")
    return found


def warn_of_lists(benchmark: NaturalBenchmark, train: ImageFiles, test: ImageFiles | None, held_out: bool) -> list[str]:
    """Warn of lists that are not read, and of a number of images that is not the benchmark's.

    Args:
        benchmark: what the images were opened as.
        train: the training images.
        test: the test images, or those held out.
        held_out: whether the test images were held out of the training split.
    """
    found = []
    unread = [str(path) for path in unread_lists(train)] if len(train.class_names) == 1 else []
    if unread:
        found.append(f"{_first(unread)} is not read; if it lists the images and their classes, name it instead of DIR")
    images = len(train) + (len(test) if held_out and test is not None else 0)
    if benchmark.train_images not in (None, images):
        found.append(
            f"{benchmark.name} has {benchmark.train_images:,} training images, here are {images:,}: accuracies are "
            "not comparable with the benchmark's"
        )
    return found


def warn_of_shared(train: ImageFiles, test: ImageFiles) -> list[str]:
    """Warn of files that are in both splits, where images are not opened; else `list_warnings` finds also copies."""
    shared = shared_files(train, test)
    named = _first([f"train {train.name(one)} = test {test.name(two)}" for one, two in shared])
    what = "both in train and in test, which training refuses"
    return [f"{counted(len(shared), 'image')} {what}: {named}"] if shared else []


def _warn_of_contents(contents: Contents, test: str) -> list[str]:
    """Warn of what was found when the images were opened."""
    found = []
    measured = "test" if test == "test" else "what is held out"

    def warn(images: Sequence[tuple[Copy, ...]], what: str) -> None:
        if images:
            named = [
                _first([f"{copy.split} {copy.name} ({copy.class_name})" for copy in same], joint=" = ")
                for same in images
            ]
            found.append(f"{counted(len(images), 'image')} {what}: {_first(named)}")

    warn(contents.leaked, f"both in train and in {measured}, which makes accuracies worthless; keep each in one")
    warn(contents.contradictory, "with more than one label")
    unreadable = [
        f"{split} {image.name} ({image.reason})" for split, images in contents.unreadable.items() for image in images
    ]
    if unreadable:
        found.append(
            f"{counted(len(unreadable), 'image')} that cannot be read; fix or remove them: {_first(unreadable)}"
        )
    if contents.emptied:
        found.append(f"no training image can be read of {_first(contents.emptied)}, which training refuses")
    warn(contents.repeated_in("train"), "more than once in train")
    warn(contents.repeated_in("test"), f"more than once in {measured}")
    return found


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Format a table, the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}"
        + "".join(f"{cell:>{width + 2}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
