"""What `ltzoo validate` does once the checkpoint is found: load it, measure it, write the files asked for."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ltzoo import checkpoints
from ltzoo.atomic_write import write_text
from ltzoo.cli.data_location import location_of
from ltzoo.data import HOLD_OUT, NATURAL_BENCHMARKS, Benchmark, Groups, all_groups, make_groups
from ltzoo.data.batches import Images
from ltzoo.data.files import (
    ResizedImages,
    check_coverage,
    check_present,
    hold_out_files,
    open_files,
    without_unreadable,
)
from ltzoo.data.files.crops import side_for_crops
from ltzoo.data.files.options import refuse_options_of_files
from ltzoo.data.files.pixels import DECODING
from ltzoo.data.memory import load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import (
    BINS,
    HELD_OUT_RULE,
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
    measure_experts,
    predict_test,
    results_row,
    worst_classes,
    worst_table,
    write_confusion,
    write_logits,
)
from ltzoo.recipes import Recipe
from ltzoo.registry import create_model


def measure_checkpoint(arguments: argparse.Namespace, folder: Path) -> None:
    """Load a checkpoint, measure it, print the figures and write the files asked for.

    Args:
        arguments: those of `ltzoo validate`.
        folder: the checkpoint.
    """
    config, recipe = checkpoints.read_config(folder), checkpoints.read_recipe(folder)
    benchmark = checkpoints.benchmark_of(config, recipe)
    groups = make_groups(arguments.groups or recipe.groups, benchmark)
    if recipe.natural:
        _check_held_out(arguments.hold_out, config)
        note_decoding(arguments.model, config)
    tta = tta_in_words(arguments.tta, benchmark)
    test = _test_images(arguments, benchmark, recipe, config.get("subset_layout"))
    model = create_model(f"local-dir:{folder}", pretrained=True)
    rule = checkpoints.evaluated_epoch(recipe, config.get(checkpoints.EPOCH))
    rule += HELD_OUT_RULE if arguments.hold_out else ""
    rule += tta
    options = EvalOptions(
        arguments.device,
        flip=arguments.tta == "flip",
        logit_scale=recipe.loss.logit_scale,
        workers=arguments.workers or 0,
        crops=arguments.tta == "crops",
    )
    predictions = predict_test(model, benchmark, test, options)
    groupings = all_groups(benchmark, first=groups.rule)
    figures = measure(predictions, benchmark.class_counts, groupings, rule)
    kind = "held-out" if arguments.hold_out else "test"
    print(f"{arguments.model} on {recipe.benchmark}, {figures.images} {kind} images, groups by the rule {groups.rule}")
    experts = measure_experts(model, benchmark, test, groups, options)
    rows = {f"expert {number}": found for number, found in enumerate(experts, 1)}
    print(accuracy_table({rule: figures.headline, **rows}))
    print("head: many-shot classes, mid: medium-shot, tail: few-shot")
    print(f"top-5 {figures.top5:.1f}, expected calibration error {figures.ece:.1f} ({BINS} bins)")
    if arguments.worst:
        worst = worst_classes(confusion_matrix(predictions), arguments.worst)
        print(f"\n{worst_table(worst, benchmark.data_set.class_names, benchmark.class_counts)}")
    _write_files(arguments, recipe, benchmark, model, predictions, groupings, figures)


def tta_in_words(tta: str | None, benchmark: Benchmark) -> str:
    """Return what the option `--tta` adds to the rule of figures; empty without it.

    Raises:
        InputError: crops are asked for, and the benchmark's images are not in files.
    """
    if tta != "crops":
        return ", logits averaged with those of the mirror image" if tta == "flip" else ""
    if benchmark.profile != "natural":
        raise InputError(
            f"--tta crops needs images in files, and the images of {benchmark.name} have the size of the model's "
            "input; leave it out"
        )
    size = benchmark.data_set.image_size
    return f", logits averaged over five crops of {size} pixels, shorter side resized to {side_for_crops(size)}"


def _check_held_out(amount: int | float | None, config: Mapping[str, Any]) -> None:
    """Check that the images to measure as held out are those that training held out."""
    _, trained = (config.get("overrides") or {}).get(HOLD_OUT) or (None, None)
    if amount is not None and amount != trained:
        found = "none" if trained is None else trained
        raise InputError(f"--hold-out {amount} would measure images that were trained on: training held out {found}")


def note_decoding(name: str, config: Mapping[str, Any]) -> None:
    """Say so if the checkpoint was trained on other pixels than image files are decoded to now."""
    run = config.get("run")
    if not isinstance(run, Mapping) or run.get("decoding") != DECODING:
        print(
            f"note: {name} does not record how EXIF rotation and 16-bit grey images were decoded in training; on such "
            "images its figures can differ from those measured here",
            file=sys.stderr,
        )


def _test_images(
    arguments: argparse.Namespace, benchmark: Benchmark, recipe: Recipe, trained_layout: str | None
) -> Images:
    """Load a benchmark's test images, or open them if they are files, prepared as in training."""
    if benchmark.profile != "natural":
        more = {"--hold-out": arguments.hold_out, "--skip-unreadable": arguments.skip_unreadable}
        more |= {"--workers": arguments.workers}
        refuse_options_of_files(benchmark.name, location_of(arguments), more)
        return load_test(benchmark, arguments.data_dir, arguments.download)
    natural, names = NATURAL_BENCHMARKS[benchmark.name], benchmark.data_set.class_names
    location = location_of(arguments)
    if arguments.hold_out is None:
        test = open_files(natural, "test", location, names)
    else:
        whole = open_files(natural, "train", location, names)
        if whole is not None and whole.layout != trained_layout:
            raise InputError(
                f"the images of {location.data_dir} are not those that training held some out of (files added, removed "
                "or renamed?); measure a folder of test images, or the images as they were"
            )
        test = None if whole is None else hold_out_files(whole, arguments.hold_out)[1]
    if test is None:
        raise InputError(
            f"there are no test images in {location.data_dir}; add val/ or test/, or --hold-out as in training"
        )
    check_present(test)
    for note in test.notes:
        print(note, file=sys.stderr)
    if arguments.skip_unreadable is not None:
        test = without_unreadable(test, arguments.skip_unreadable, partial(print, file=sys.stderr))
    check_coverage(None, test)
    shorter = recipe.input.shorter_side if recipe.input else None
    return test if shorter is None else ResizedImages(test, shorter, None)


def _write_files(
    arguments: argparse.Namespace,
    recipe: Recipe,
    benchmark: Benchmark,
    model: nn.Module,
    predictions: Predictions,
    groupings: Sequence[Groups],
    figures: Figures,
) -> None:
    """Write the files that the options name; the first of `groupings` is the one to show."""
    title, names = f"{recipe.name}\n{figures.rule}", benchmark.data_set.class_names
    if arguments.json:
        write_text(arguments.json, json.dumps(figures.to_dict(), indent=1) + "\n")
    if arguments.results_file:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        row = results_row(arguments.model, benchmark.data_set.image_size, parameters, figures)
        append_results(arguments.results_file, row)
    if arguments.picture:
        draw_classes(arguments.picture, recipe.name, figures, groupings[0], names)
    if arguments.reliability:
        draw_reliability(arguments.reliability, title, measure_calibration(predictions))
    if arguments.confusion:
        matrix = confusion_matrix(predictions)
        if arguments.confusion.suffix == ".csv":
            write_confusion(arguments.confusion, matrix, names)
        else:
            draw_confusion(arguments.confusion, title, matrix, benchmark.class_counts, names)
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
