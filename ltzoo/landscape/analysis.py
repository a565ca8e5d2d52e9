"""An analysis: spectra of several checkpoints and sets of classes, stored in one JSON file."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from filelock import FileLock, Timeout

from ltzoo import checkpoints
from ltzoo.atomic_write import write_text
from ltzoo.data import Augmentation, Groups, Subset
from ltzoo.data.batches import BatchSettings, Delivery, TrainBatches
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from ltzoo.evaluate import tf32
from ltzoo.landscape.checkpoints import RunCheckpoint
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.document import CHOICES, DOCUMENT, read_document
from ltzoo.landscape.escape import escape_tables, measure_escape
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.landscape.loss import make_batches, make_criterion, of_classes
from ltzoo.landscape.memory import check_memory, free_memory
from ltzoo.landscape.plane import loss_plane
from ltzoo.landscape.progress import Progress
from ltzoo.landscape.saved_steps import SavedSteps
from ltzoo.landscape.settings import ClassSet, Settings
from ltzoo.landscape.spectrum import Spectrum, measure_spectrum
from ltzoo.recipes import Recipe, recipe_to_dict
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.sharpness import NoPerturbation, Perturbation
from ltzoo.versions import VERSION

_PERTURBATIONS = ("sgd", "sam", "imbsam", "ssesam")
"""Perturbations whose gradients are compared at the same weights."""

_MEMORY_DIVISOR = 4
"""Gradient graphs may use the free memory divided by this."""


@dataclass(frozen=True)
class AnalysedImages:
    """The training images that an analysis computes on.

    Attributes:
        images: the decoded images.
        subset: their indices in the data set.
    """

    images: LabelledImages
    subset: Subset


class Analysis:
    """The spectra of several checkpoints on one benchmark; each is written as soon as it is measured.

    Args:
        output: the folder, which contains the results as `landscape.json`.
        recipe: the recipe of one of the models; all models share its benchmark.
        groups: the groups of classes.
        images: the training images, and which ones of the data set they are.
        settings: how to compute.
        device: where to compute.
        resume: continue a stored analysis if there is one.

    Raises:
        InputError: an analysis is already stored, and `resume` is False or its settings differ.
    """

    def __init__(
        self,
        output: Path,
        recipe: Recipe,
        groups: Groups,
        images: AnalysedImages,
        settings: Settings,
        device: torch.device,
        resume: bool,
    ) -> None:
        self.output, self.images, self.settings, self.device = output, images.images, settings, device
        self.document: dict[str, Any] = {
            "benchmark": recipe.benchmark,
            "class_counts": list(recipe.data.class_counts),
            "subset_sha256": images.subset.sha256,
            "groups": {"rule": groups.rule, "classes": {name: list(found) for name, found in groups.classes.items()}},
            "settings": asdict(settings),
            "versions": {"ltzoo": VERSION, "torch": str(torch.__version__), "timm": timm.__version__},
            "spectra": [],
        }
        path = output / DOCUMENT
        if path.exists():
            if not resume:
                raise InputError(f"{path} exists; add --resume to continue it, or choose another --output")
            before = read_document(path)
            differing = [key for key in CHOICES if before.get(key) != self.document[key]]
            was, now = before.get("settings", {}), asdict(settings)
            # The chunk size only affects rounding; a smaller one is needed if memory runs out.
            differing += [key for key in now if was.get(key) != now[key] and key != "chunk"]
            if differing:
                raise InputError(f"{path} is another analysis: {differing[0]} differs; choose another --output")
            self.document["spectra"] = before["spectra"]

    def run(self, checkpoints: Sequence[RunCheckpoint], sets: Sequence[ClassSet]) -> dict[str, Any]:
        """Measure the missing spectra; return the document as written.

        Raises:
            InputError: another process uses the folder, the memory does not suffice, a model does not fit, or a loss
                has no second derivative.
        """
        pending = [
            (checkpoint, [class_set for class_set in sets if not self._has(checkpoint, class_set)])
            for checkpoint in checkpoints
        ]
        counts = self.document["class_counts"]
        work = self.settings.probes * sum(
            sum(counts[j] for j in class_set.classes) for _, todo in pending for class_set in todo
        )
        progress = Progress(work)
        try:
            with self._lock(), tf32(False):
                for checkpoint, todo in pending:
                    if todo:
                        self._analyse(checkpoint, todo, progress)
        except torch.OutOfMemoryError as error:
            raise InputError(f"the memory of {self.device} does not suffice; choose a smaller --chunk") from error
        finally:
            progress.close()
        return read_document(self.output / DOCUMENT)

    def _has(self, checkpoint: RunCheckpoint, class_set: ClassSet) -> bool:
        """Whether a spectrum is already stored."""
        rows = [
            row
            for row in self.document["spectra"]
            if (row["model"], row["epoch"]) == (checkpoint.model, checkpoint.epoch)
        ]
        if any(row["weights_sha256"] != checkpoint.weights_sha256 for row in rows):
            raise InputError(
                f"{self.output / DOCUMENT} holds {checkpoint.label} with other weights than {checkpoint.folder}; "
                "choose another --output"
            )
        return any(row["set"] == class_set.label for row in rows)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the folder for this process; remove it afterwards if it is new and empty."""
        is_new = not self.output.exists()
        self.output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.output / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"{self.output} is in use by another process; wait for it") from error
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
            if is_new and not any(self.output.iterdir()):
                self.output.rmdir()

    def _analyse(self, checkpoint: RunCheckpoint, sets: Sequence[ClassSet], progress: Progress) -> None:
        """Measure the spectra of one checkpoint."""
        settings, recipe, dtype = self.settings, checkpoint.recipe, getattr(torch, self.settings.precision)
        model = checkpoints.load_checkpoint(checkpoint.folder).to(self.device, dtype)
        criterion, class_weights = make_criterion(recipe, checkpoint.epoch, settings, self.device)
        size = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        progress.say(f"{checkpoint.label}: {check_memory(size, dtype, settings.most_steps, self.device)}")
        if checkpoint.subset_sha256 != self.document["subset_sha256"]:
            progress.say(
                f"{checkpoint.label} was trained on other images of {recipe.benchmark} than those in --data-dir"
            )
        for class_set in sets:
            chosen = of_classes(self.images, class_set.classes)
            batches = make_batches(chosen, recipe, settings, self.device)
            curvature = Curvature(model, criterion, batches, class_weights)
            row = self._measure(checkpoint, class_set, curvature, len(chosen.labels), progress)
            self.document["spectra"].append(row)
            self._write()

    def _measure(
        self, checkpoint: RunCheckpoint, class_set: ClassSet, curvature: Curvature, images: int, progress: Progress
    ) -> dict[str, Any]:
        """Measure a spectrum, and slice and escape if requested; return the row."""
        settings, began = self.settings, time.perf_counter()
        saved = SavedSteps(self.output / "state" / self._key(checkpoint, class_set))

        def watch(probe: int, run: Lanczos) -> None:
            if run.steps == 0:
                saved.restore(probe, run)
                progress.count(images if probe else 0)
            else:
                saved.save(probe, run)
            progress.step(f"{checkpoint.label}, {class_set.label}", probe, run.steps, images)

        loss, norm = curvature.value(), float(torch.linalg.vector_norm(curvature.gradient()))
        like = torch.empty(curvature.size, dtype=curvature.dtype, device=curvature.device)
        # With augmentation the images differ each time, so graphs cannot be reused.
        with curvature.gradients_kept(0 if settings.augment else free_memory(self.device) // _MEMORY_DIVISOR):
            spectrum = measure_spectrum(
                curvature.product,
                like,
                probes=settings.probes,
                tolerance=settings.tolerance,
                most_steps=settings.most_steps,
                seed=settings.seed,
                watch=watch,
            )
        progress.count(images)
        row = {
            "model": checkpoint.model,
            "recipe": checkpoint.recipe.name,
            "perturbation": recipe_to_dict(checkpoint.recipe)["perturbation"],
            "overrides": dict(checkpoint.overrides),
            "seed": checkpoint.seed,
            "epoch": checkpoint.epoch,
            "epochs": checkpoint.recipe.schedule.epochs,
            "weights_sha256": checkpoint.weights_sha256,
            "trained_on_these_images": checkpoint.subset_sha256 == self.document["subset_sha256"],
            "set": class_set.label,
            "classes": list(class_set.classes),
            "images": images,
            "loss": loss,
            "gradient_norm": norm,
            "lambda_min": spectrum.lowest.value,
            "lambda_max": spectrum.highest.value,
            "residual_min": spectrum.lowest.residual,
            "residual_max": spectrum.highest.residual,
            "trace": spectrum.trace,
            "trace_error": spectrum.trace_error,
            "steps": list(spectrum.steps),
            "converged": spectrum.converged,
            "density": asdict(spectrum.density),
            "device": self.device.type,
        }
        row |= self._along_extremes(checkpoint, curvature, spectrum)
        row["seconds"] = round(time.perf_counter() - began, 2)
        found = f"lambda_min {row['lambda_min']:.4g}, lambda_max {row['lambda_max']:.4g}"
        ended = "" if spectrum.converged else f", NOT CONVERGED in {settings.most_steps} steps"
        steps = " + ".join(map(str, spectrum.steps))
        progress.say(f"{checkpoint.label}, {class_set.label}: {found}, {steps} steps, {row['seconds']:.1f} s{ended}")
        saved.delete()
        return row

    def _key(self, checkpoint: RunCheckpoint, class_set: ClassSet) -> str:
        """Identify a spectrum by everything that it depends on."""
        settings = {key: value for key, value in self.document["settings"].items() if key != "chunk"}
        parts = [checkpoint.weights_sha256, self.document["subset_sha256"], class_set.classes, settings]
        return f"{class_set.label}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    def _along_extremes(self, checkpoint: RunCheckpoint, curvature: Curvature, spectrum: Spectrum) -> dict[str, Any]:
        """Measure the requested quantities along the extreme eigenvectors: slice, escape."""
        settings, recipe = self.settings, checkpoint.recipe
        lowest, highest = spectrum.lowest.vector, spectrum.highest.vector
        found: dict[str, Any] = {}
        if settings.slice_reach is not None:
            plane = loss_plane(curvature, lowest, highest, settings.slice_reach, settings.slice_points)
            found["slice"] = {"lowest": plane.first, "highest": plane.second, "loss": plane.loss}
        if settings.escape:
            no_augmentation = Augmentation(crop_padding=0, horizontal_flip=False)
            batches = BatchSettings(recipe.data.data_set, (no_augmentation,), recipe.batch_size, settings.seed)
            whole = TrainBatches(self.images, batches, Delivery(self.device))
            tables = escape_tables(_siblings(recipe), recipe.data.class_counts, recipe.schedule.epochs)
            # Random perturbations are left out: their component is random.
            tables = {name: table for name, table in tables.items() if table.direction == "gradient"}
            measured = measure_escape(
                curvature.model, curvature.criterion, whole.epoch(0), tables, lowest, curvature.class_weights
            )
            found["escape"] = {method: asdict(escape) for method, escape in measured.items()}
        return found

    def _write(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        write_text(self.output / DOCUMENT, json.dumps(self.document, indent=1) + "\n")


def _siblings(recipe: Recipe) -> dict[str, Perturbation]:
    """Collect the perturbations to compare: SGD, those of the family's recipes, and this recipe's own."""
    family, _, own = recipe.name.rpartition("_")
    known = [word for word in _PERTURBATIONS if f"{family}_{word}" in list_recipes(f"{family}_*")]
    epochs = recipe.schedule.epochs
    siblings = {word: get_recipe(f"{family}_{word}").with_epochs(epochs).perturbation for word in known}
    return {"sgd": NoPerturbation()} | siblings | {own: recipe.perturbation}
