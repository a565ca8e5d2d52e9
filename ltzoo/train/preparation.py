"""The preparation of a run: what is fixed before its first step, checked before anything is written."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ltzoo.checkpoints.pretraining import BEGAN_WITH, START_STATED, began_with
from ltzoo.data import IMPORTED, RandomStream, read_subset, temporary_seed
from ltzoo.data.batches import epoch_sizes
from ltzoo.data.files.pixels import DECODING
from ltzoo.errors import InputError
from ltzoo.evaluate import weights_key
from ltzoo.recipes import Recipe
from ltzoo.recipes.model import build_model, view_of
from ltzoo.train.checks import check_classes_drawn, check_parts
from ltzoo.train.cuda_graph import why_not_captured
from ltzoo.train.device import (
    choose_channels_last,
    choose_threads,
    choose_workers,
    device_name,
    make_accelerator,
    synchronize_batchnorm,
)
from ltzoo.train.feature_cache import check_cacheable, feature_key
from ltzoo.train.forward import feature_size
from ltzoo.train.head import put_head
from ltzoo.train.images import RunImages, batch_settings, check_image_options, is_rules_own, load_images
from ltzoo.train.options import TrainOptions
from ltzoo.train.processes import check_shares, on_every_process, on_main_process, print_once
from ltzoo.train.record import FailedCapture, RunRecord, RunSettings, make_record
from ltzoo.train.resumed import kept_choice
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.settings_warnings import settings_warnings
from ltzoo.train.start import StartWeights, find_start, load_start
from ltzoo.train.trainable import check_peft, freeze, in_words, put_adapters
from ltzoo.train.tune import check_tunable, recorded_choice, tune


@dataclass(frozen=True)
class Preparation:
    """What is fixed before the first step of a run.

    Attributes:
        recipe: what is trained; `subset` is `imported` if a file names other images than the recipe's rule.
        options: with memory format, threads and workers chosen.
        accelerator: device, precision and processes.
        images: what is trained on and measured.
        model: with its initial weights, on the device.
        record: what the run's files say of it.
        not_captured: why the step is not captured as a CUDA graph; None if it is.
        clock: returns seconds of the device's time; of runs that share it, each has its share.
    """

    recipe: Recipe
    options: TrainOptions
    accelerator: Accelerator
    images: RunImages
    model: nn.Module
    record: RunRecord
    not_captured: str | None
    clock: Callable[[], float] = time.perf_counter

    @property
    def on_features(self) -> bool:
        """Whether training takes cached features in place of images; a head that is computed takes its own."""
        return self.options.cache_features is not None and not self.recipe.head.computed


def check_before_images(
    recipe: Recipe, options: TrainOptions, folder: RunFolder, *, only_timed: bool = False
) -> tuple[Accelerator, StartWeights]:
    """Check what can be checked before any image is found: options, device, run folder, first weights, architecture.

    Args:
        recipe: the recipe to train.
        options: of the run.
        folder: the run folder; nothing is left in it, and it is not created.
        only_timed: whether the run is timed and not trained, so that another run may lie in its folder.

    Returns:
        Device, precision and processes; and the weights to start from, found but not read.

    Raises:
        InputError: one of them cannot be used.
    """
    check_image_options(recipe, options)
    if options.cache_features is not None:
        check_cacheable(recipe)
    check_peft(recipe.trainable)
    accelerator = make_accelerator(recipe.precision, options.trackers, folder.path)
    if options.tune:
        check_tunable(recipe, options, accelerator)
    if not only_timed:
        on_main_process(accelerator, lambda: folder.check_free(options.resume))
    on_main_process(accelerator, folder.check_creatable)
    start = on_every_process(accelerator, lambda: find_start(recipe, options))
    if recipe.natural:
        view_of(recipe, start.cfg)
    return accelerator, start


def prepare_run(
    recipe: Recipe, options: TrainOptions, folder: RunFolder, side_by_side: int = 1, *, only_timed: bool = False
) -> Preparation:
    """Load images and model, check that everything fits, and choose the remaining options.

    Args:
        recipe: the recipe to train.
        options: data, output and seed.
        folder: the run folder, which is not written.
        side_by_side: number of runs that take turns on the device.
        only_timed: whether the run is timed and not trained. A run that lies in its folder is not read then, and
            timm's weights are not downloaded: the network keeps its fresh weights.

    Raises:
        InputError: data, folder, model or device cannot be used.
    """
    accelerator, start = check_before_images(recipe, options, folder, only_timed=only_timed)
    start = replace(start, fetch=not only_timed)
    say = partial(print_once, accelerator)
    images = on_every_process(accelerator, lambda: load_images(recipe, start, options, say))
    class_names = images.benchmark.data_set.class_names
    on_every_process(accelerator, lambda: start.check_images(images.subset, class_names))
    if start.first_stage is not None:
        say(f"{recipe.name} {start.in_words(options.seed)}")
    if start.warning:
        say(start.warning)
    check_classes_drawn(recipe, images.train.labels, class_names)
    for warning in settings_warnings(recipe, images.benchmark.class_counts, options.compile_backend):
        say(warning)
    if options.subset is not None and not is_rules_own(read_subset(options.subset), recipe, options):
        recipe = replace(recipe, subset=IMPORTED)
    recorded = {} if only_timed else on_main_process(accelerator, folder.recorded)
    if images.measured_layout:
        _check_decoding(recorded, folder)
    device, processes = accelerator.device, accelerator.num_processes
    options = kept_choice(options, recorded, folder.path, device, processes)
    if options.tune and recorded and "tuned" not in recorded:
        raise InputError(f"the run in {folder.path} was begun without --tune; leave it out to resume the run")
    options, tuned = _tune(recipe, options, images, accelerator, start, recorded)
    options = _choose_options(recipe, options, images, accelerator, side_by_side)
    model, start_sha256 = _make_model(recipe, options, images, accelerator, start, say)
    not_captured = (
        why_not_captured(recipe, images.benchmark.class_counts, accelerator, feature_size(model))
        if options.capture
        else "capture is switched off"
    )
    if options.cache_features is not None:
        not_captured = "only the head is computed"
    failed = FailedCapture.of(recorded)
    if failed is not None:
        not_captured = str(failed)
    how = _how(options, images, accelerator, not_captured is None)
    how |= failed.recorded() if failed is not None else {}
    how |= {"start_sha256": start_sha256} if start_sha256 else {}
    how |= {START_STATED: dict(options.start_stated)} if options.start_stated else {}
    how |= {"tuned": tuned} if tuned else {}
    how |= _features(recipe, options, images, accelerator, model)
    if start.first_stage is not None and start.first_stage["seed"] != options.seed:
        how |= {"start_seed": start.first_stage["seed"]}
    pretrained = began_with(start.first_stage) if start.first_stage is not None else {}
    how |= {BEGAN_WITH: pretrained} if pretrained else {}
    overrides = {**images.overrides, **start.overrides}
    settings = RunSettings(options.seed, how, device_name(accelerator.device), side_by_side, overrides)
    record = make_record(recipe, images.benchmark, images.subset, settings)
    return Preparation(recipe, options, accelerator, images, model, record, not_captured)


def _tune(
    recipe: Recipe,
    options: TrainOptions,
    images: RunImages,
    accelerator: Accelerator,
    start: StartWeights,
    recorded: Mapping[str, Any],
) -> tuple[TrainOptions, Mapping[str, float] | None]:
    """Fill in the tuned choice, measured now or recorded by the run that is resumed, and what was measured for it."""
    if "tuned" in recorded:
        return recorded_choice(options, recorded), recorded["tuned"]
    if not options.tune:
        return options, None

    def make_model(chosen: TrainOptions) -> nn.Module:
        return _make_model(recipe, chosen, images, accelerator, start)[0]

    return tune(recipe, options, images, accelerator, make_model, partial(print_once, accelerator))


def _choose_options(
    recipe: Recipe, options: TrainOptions, images: RunImages, accelerator: Accelerator, side_by_side: int
) -> TrainOptions:
    """Choose memory format, threads and worker processes, unless the user gave them."""
    processes, device = accelerator.num_processes, accelerator.device
    if options.channels_last is None:
        options = replace(options, channels_last=choose_channels_last(recipe.precision, device))
    if options.workers is None:
        options = replace(options, workers=choose_workers(processes * side_by_side))
    if device.type == "cpu" or options.threads is not None:
        torch.set_num_threads(options.threads or choose_threads(recipe, images.benchmark.data_set, processes))
    return options


def _make_model(
    recipe: Recipe,
    options: TrainOptions,
    images: RunImages,
    accelerator: Accelerator,
    start: StartWeights,
    say: Callable[[str], None] | None = None,
) -> tuple[nn.Module, str | None]:
    """Build the model with its initial weights; with it the SHA-256 of loaded weights, None for fresh ones."""
    benchmark = images.benchmark
    settings = batch_settings(recipe, benchmark.data_set, options.seed)
    sizes, processes = epoch_sizes(images.train, settings), accelerator.num_processes
    smallest_batch, largest_batch = check_shares(min(sizes), processes), -(-max(sizes) // processes)
    torch.manual_seed(options.seed)
    model = build_model(recipe, data_set=benchmark.data_set)
    check_parts(model, recipe, benchmark, options.compile_backend, smallest_batch, processes, largest_batch)
    start_sha256 = on_every_process(accelerator, lambda: load_start(model, start, benchmark.data_set, say))
    put_head(model, recipe.head)
    # Adapters are the same whatever was drawn before.
    with temporary_seed(options.seed, 0, RandomStream.ADAPTERS):
        put_adapters(model, recipe.trainable, benchmark.data_set.shape)
    freeze(model, recipe.trainable)
    if say is not None and recipe.trainable.weights in ("lora", "norm", "bias"):
        say(in_words(model, recipe.trainable))
    if options.sync_bn:
        model = synchronize_batchnorm(model, accelerator)
    memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
    return model.to(accelerator.device).to(memory_format=memory_format), start_sha256


def _how(options: TrainOptions, images: RunImages, accelerator: Accelerator, captured: bool) -> dict[str, Any]:
    """Describe how the run computes, see `RunSettings.how`."""
    how: dict[str, Any] = {
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads() if accelerator.device.type == "cpu" else None,
        "channels_last": options.channels_last,
        "capture": captured,
        "torchcompile": options.compile_backend,
        "val_interval": options.val_interval.recorded,
    }
    how |= {"sync_bn": True} if options.sync_bn else {}
    how |= {"half": True} if options.half else {}
    return how | ({"measured_layout": images.measured_layout, "decoding": DECODING} if images.measured_layout else {})


def _check_decoding(recorded: Mapping[str, Any], folder: RunFolder) -> None:
    """Check that an existing run on image files saw the pixels that these files are decoded to now."""
    if recorded and recorded.get("decoding") != DECODING:
        raise InputError(
            f"the run in {folder.path} was begun by a version of ltzoo that decodes images to other pixels (photos "
            "turned by EXIF, 16-bit grey); resume it with that version, or name another --output"
        )


def _features(
    recipe: Recipe, options: TrainOptions, images: RunImages, accelerator: Accelerator, model: nn.Module
) -> dict[str, str]:
    """Name the weights and the measured images whose cached features the run uses."""
    if options.cache_features is None:
        return {}
    weights = weights_key(model)
    if recipe.head.computed:  # it is measured on images
        return {"features_of": weights}
    data_set = images.benchmark.data_set
    key = on_main_process(accelerator, lambda: feature_key(weights, images.measured, data_set))
    return {"features_of": weights, "measured_features": key.short}
