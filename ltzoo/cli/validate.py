"""`validate.py` and `python -m ltzoo validate`: measure a checkpoint."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ltzoo import hub
from ltzoo.cli.parser import (
    Parser,
    add_data_options,
    add_device_option,
    add_files_options,
    add_skip_option,
    held_out,
    not_below_zero,
    run,
    writable,
)
from ltzoo.data import (
    GROUP_RULES,
    HOLD_OUT,
    NATURAL_BENCHMARKS,
    Benchmark,
    Groups,
    Pictures,
    all_groups,
    load_test,
    make_groups,
)
from ltzoo.data.files import (
    Place,
    ShrunkImages,
    check_coverage,
    check_present,
    hold_out_files,
    open_files,
    without_unreadable,
)
from ltzoo.errors import InputError
from ltzoo.evaluate import (
    BINS,
    EvalOptions,
    Figures,
    Predictions,
    StoredLogits,
    accuracy_table,
    append_results,
    confusion_matrix,
    draw_classes,
    draw_confusion,
    draw_reliability,
    linear_classifier,
    measure,
    measure_calibration,
    predict_test,
    results_row,
    write_confusion,
    write_logits,
)
from ltzoo.recipes import Recipe
from ltzoo.registry import create_model, find_checkpoint

_SUFFIXES = {
    "picture": (".png",),
    "reliability": (".png",),
    "confusion": (".csv", ".png"),
    "logits": (".safetensors",),
}
"""How the names of files that an option writes must end."""


def build_parser(prog: str) -> Parser:
    """Make the parser. Flags are timm's wherever timm has them."""
    parser = Parser(prog=prog, description="Measure a checkpoint on its benchmark's test set, in float32.")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a recipe's name, hf-hub:user/repo[@revision] or local-dir:path"
    )
    add_data_options(parser)
    files = add_files_options(parser)
    files.add_argument(
        "--hold-out", "--holdout", type=held_out, metavar="N", help="measure the images that training so held out"
    )
    add_skip_option(files)
    files.add_argument(
        "-j",
        "--workers",
        type=not_below_zero,
        default=0,
        metavar="N",
        help="processes that decode (%(default)s)",
    )
    parser.add_argument("--groups", choices=list(GROUP_RULES), help="grouping to show (the protocol's own)")
    parser.add_argument("--tta", choices=["flip"], help="average the logits of each image and its mirror image")
    add_device_option(parser)
    files = parser.add_argument_group("files to write")
    files.add_argument("--json", type=writable, metavar="FILE", help="the figures")
    files.add_argument("--results-file", type=writable, metavar="CSV", help="append a row, in timm's columns")
    files.add_argument("--picture", type=writable, metavar="PNG", help="each class's accuracy over the class counts")
    files.add_argument(
        "--reliability", type=writable, metavar="PNG", help="accuracy over confidence, and the calibration error"
    )
    files.add_argument(
        "--confusion",
        type=writable,
        metavar="FILE",
        help="which class is taken for which: counts (.csv) or drawn (.png)",
    )
    files.add_argument(
        "--logits", type=writable, metavar="FILE", help="test logits and labels (.safetensors), which posthoc reads"
    )
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Load, measure, print; write what was asked for."""
    _check_files(arguments)
    folder = find_checkpoint(arguments.model)
    config, recipe = hub.read_config(folder), hub.read_recipe(folder)
    benchmark = hub.benchmark_of(config, recipe)
    groups = make_groups(arguments.groups or recipe.groups, benchmark)
    if recipe.natural:
        _check_held_out(arguments.hold_out, config)
    test = _test_images(arguments, benchmark, recipe, config.get("subset_layout"))
    model = create_model(f"local-dir:{folder}", pretrained=True)
    flip = arguments.tta == "flip"
    rule = f"epoch {config[hub.EPOCH]}" if hub.EPOCH in config else "last epoch"
    rule += " on held-out images" if arguments.hold_out else ""
    rule += ", logits averaged with those of the mirror image" if flip else ""
    scale = recipe.loss.logit_scale
    options = EvalOptions(arguments.device, flip, scale, arguments.workers)
    predictions = predict_test(model, benchmark, test, options)
    groupings = all_groups(benchmark, first=groups.rule)
    figures = measure(predictions, benchmark.class_counts, groupings, rule)
    print(f"{arguments.model} on {recipe.benchmark}, {figures.images} test images, groups by the rule {groups.rule}")
    print(accuracy_table({rule: figures.headline}))
    print(f"top-5 {figures.top5:.1f}, expected calibration error {figures.ece:.1f} ({BINS} bins)")
    _write_files(arguments, recipe, benchmark, model, predictions, groupings, figures)


def _check_held_out(amount: int | float | None, config: Mapping[str, Any]) -> None:
    """See that what is measured as held out is what training held out."""
    _, trained = (config.get("overrides") or {}).get(HOLD_OUT) or (None, None)
    if amount is not None and amount != trained:
        found = "none" if trained is None else trained
        raise InputError(f"--hold-out {amount} would measure images that were trained on: training held out {found}")


def _test_images(
    arguments: argparse.Namespace, benchmark: Benchmark, recipe: Recipe, trained_layout: str | None
) -> Pictures:
    """Load a benchmark's test images, or find them where they lie in files, and see them as training saw them."""
    if benchmark.profile != "natural":
        for flag, value in (("--hold-out", arguments.hold_out), ("--skip-unreadable", arguments.skip_unreadable)):
            if value is not None:
                raise InputError(f"{flag} is for images in files; {benchmark.name} has a test set")
        return load_test(benchmark, arguments.data_dir, arguments.download)
    natural, names = NATURAL_BENCHMARKS[benchmark.name], benchmark.data_set.class_names
    place = Place(
        arguments.data_dir, arguments.image_root, arguments.image_column, arguments.label_column, arguments.download
    )
    if arguments.hold_out is None:
        test = open_files(natural, "test", place, names)
    else:
        whole = open_files(natural, "train", place, names)
        if whole is not None and whole.layout != trained_layout:
            raise InputError(
                f"the images of {place.data_dir} are not those that training held some out of (files added, removed or "
                "renamed?); measure a folder of test images, or the images as they were"
            )
        test = None if whole is None else hold_out_files(whole, arguments.hold_out)[1]
    if test is None:
        raise InputError(
            f"there are no test images in {place.data_dir}; add val/ or test/, or --hold-out as in training"
        )
    check_present(test)
    if arguments.skip_unreadable is not None:
        test = without_unreadable(test, arguments.skip_unreadable, partial(print, file=sys.stderr))
    check_coverage(None, test)
    shorter = recipe.input.shorter_side if recipe.input else None
    return test if shorter is None else ShrunkImages(test, shorter, None)


def _write_files(
    arguments: argparse.Namespace,
    recipe: Recipe,
    benchmark: Benchmark,
    model: nn.Module,
    predictions: Predictions,
    groupings: Sequence[Groups],
    figures: Figures,
) -> None:
    """Write the files that the options name; the grouping that is shown comes first in `groupings`."""
    title = f"{recipe.name}\n{figures.rule}"
    if arguments.json:
        arguments.json.write_text(json.dumps(figures.to_dict(), indent=1) + "\n", encoding="utf-8")
    if arguments.results_file:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        row = results_row(arguments.model, benchmark.data_set.image_size, parameters, figures)
        append_results(arguments.results_file, row)
    if arguments.picture:
        draw_classes(arguments.picture, recipe.name, figures, groupings[0])
    if arguments.reliability:
        draw_reliability(arguments.reliability, title, measure_calibration(predictions))
    if arguments.confusion:
        matrix = confusion_matrix(predictions)
        if arguments.confusion.suffix == ".csv":
            write_confusion(arguments.confusion, matrix)
        else:
            draw_confusion(arguments.confusion, title, matrix, benchmark.class_counts)
    if arguments.logits:
        stored = StoredLogits(
            predictions,
            class_counts=benchmark.class_counts,
            classifier=linear_classifier(model),
            groupings=tuple(groupings),
            model=arguments.model,
            benchmark=benchmark.name,
            recipe=recipe.name,
            rule=figures.rule,
        )
        write_logits(arguments.logits, stored)


def _check_files(arguments: argparse.Namespace) -> None:
    """See that each file's name ends as it must, and that no two options name one file."""
    taken: dict[Path, str] = {}
    for option in ("json", "results_file", *_SUFFIXES):
        path, flag = getattr(arguments, option), f"--{option.replace('_', '-')}"
        if path is None:
            continue
        suffixes = _SUFFIXES.get(option)
        if suffixes and path.suffix not in suffixes:
            raise InputError(f"{flag} cannot write {path.name!r}; end the name in {' or '.join(suffixes)}")
        other = taken.setdefault(path.resolve(), flag)
        if other != flag:
            raise InputError(f"{other} and {flag} name the same file {path}; name two")


def main(argv: list[str] | None = None, prog: str = "validate.py") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
