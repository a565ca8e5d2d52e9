"""An analysis: the spectra of several checkpoints and sets of classes, and the file that holds them."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
import torch
from filelock import FileLock, Timeout

import ltzoo
from ltzoo import checkpoints
from ltzoo.atomic_write import atomic_write
from ltzoo.data import Augmentation, Groups, Subset
from ltzoo.data.batches import BatchSettings, Delivery, TrainBatches
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from ltzoo.evaluate import tf32
from ltzoo.landscape.class_sets import ClassSet
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.escape import escape_tables, measure_escape
from ltzoo.landscape.kept_steps import KeptSteps
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.landscape.loss import make_batches, make_criterion, of_classes
from ltzoo.landscape.memory import check_memory, free_memory
from ltzoo.landscape.plane import loss_plane
from ltzoo.landscape.progress import Progress
from ltzoo.landscape.settings import Settings
from ltzoo.landscape.spectrum import Spectrum, measure_spectrum
from ltzoo.landscape.subject import Subject
from ltzoo.recipes import Recipe, recipe_to_dict
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.sharpness import NoPerturbation, Perturbation

DOCUMENT = "landscape.json"
"""The file that holds an analysis."""

_PERTURBATIONS = ("sgd", "sam", "imbsam", "ssesam")
"""Whose way from the same weights is compared."""

_CHOICES = ("benchmark", "class_counts", "subset_sha256", "groups")
"""What an analysis that is gone on with must have in common with what is there, beside its settings."""

_PART = 4
"""The part of the free memory that gradients kept with their graphs may take."""

_ROW = {"model", "epoch", "set", "weights_sha256", "lambda_min", "lambda_max", "converged", "density"}


class Analysis:
    """The spectra of several checkpoints on one benchmark, written as they are measured.

    Args:
        output: the folder; `landscape.json` in it holds what was measured.
        recipe: one of those that the models were trained by: its benchmark is theirs.
        groups: the groups of classes that are meant.
        images: the training images.
        subset: which of the data set's images they are.
        settings: how to compute.
        device: where.
        resume: go on with the analysis that is there, or begin it.

    Raises:
        InputError: an analysis is there and may not, or cannot, be gone on with.
    """

    def __init__(
        self,
        output: Path,
        recipe: Recipe,
        groups: Groups,
        images: LabelledImages,
        subset: Subset,
        settings: Settings,
        device: torch.device,
        resume: bool,
    ) -> None:
        self.output, self.images, self.settings, self.device = output, images, settings, device
        self.document: dict[str, Any] = {
            "benchmark": recipe.benchmark,
            "class_counts": list(recipe.data.class_counts),
            "subset_sha256": subset.sha256,
            "groups": {"rule": groups.rule, "classes": {name: list(found) for name, found in groups.classes.items()}},
            "settings": asdict(settings),
            "versions": {"ltzoo": ltzoo.__version__, "torch": str(torch.__version__), "timm": timm.__version__},
            "spectra": [],
        }
        there = output / DOCUMENT
        if there.exists():
            if not resume:
                raise InputError(f"{there} exists; add --resume to go on with it, or choose another --output")
            before = read_document(there)
            other = [key for key in _CHOICES if before.get(key) != self.document[key]]
            was, now = before.get("settings", {}), asdict(settings)
            # Chunks change rounding alone, and a smaller one is what a full memory asks for.
            other += [key for key in now if was.get(key) != now[key] and key != "chunk"]
            if other:
                raise InputError(f"{there} is another analysis: its {other[0]} is another; choose another --output")
            self.document["spectra"] = before["spectra"]

    def run(self, subjects: Sequence[Subject], sets: Sequence[ClassSet]) -> dict[str, Any]:
        """Measure what is missing; the document as it is written.

        Raises:
            InputError: another process has the folder, the memory does not suffice, a model does not fit, or a loss has
                no second derivative.
        """
        pending = [(subject, [one for one in sets if not self._has(subject, one)]) for subject in subjects]
        counts = self.document["class_counts"]
        work = self.settings.probes * sum(sum(counts[j] for j in one.classes) for _, todo in pending for one in todo)
        progress = Progress(work)
        try:
            with self._claim(), tf32(False):
                for subject, todo in pending:
                    if todo:
                        self._analyse(subject, todo, progress)
        except torch.OutOfMemoryError as error:
            raise InputError(f"the memory of {self.device} does not suffice; choose a smaller --chunk") from error
        finally:
            progress.close()
        return read_document(self.output / DOCUMENT)

    def _has(self, subject: Subject, one: ClassSet) -> bool:
        """Say whether a spectrum is there."""
        rows = [
            row for row in self.document["spectra"] if (row["model"], row["epoch"]) == (subject.model, subject.epoch)
        ]
        if any(row["weights_sha256"] != subject.weights_sha256 for row in rows):
            raise InputError(
                f"{self.output / DOCUMENT} holds {subject.label} with other weights than {subject.folder}; "
                "choose another --output"
            )
        return any(row["set"] == one.label for row in rows)

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """Hold the folder for one process; leave none where nothing was measured."""
        made = not self.output.exists()
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
            if made and not any(self.output.iterdir()):
                self.output.rmdir()

    def _analyse(self, subject: Subject, sets: Sequence[ClassSet], progress: Progress) -> None:
        """Measure the spectra of one checkpoint."""
        settings, recipe, dtype = self.settings, subject.recipe, getattr(torch, self.settings.precision)
        model = checkpoints.load_checkpoint(subject.folder).to(self.device, dtype)
        criterion, class_weights = make_criterion(recipe, subject.epoch, settings, self.device)
        size = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        progress.say(f"{subject.label}: {check_memory(size, dtype, settings.most_steps, self.device)}")
        if subject.subset_sha256 != self.document["subset_sha256"]:
            progress.say(
                f"{subject.label} was trained on other images of {recipe.benchmark} than the ones that lie here"
            )
        for one in sets:
            chosen = of_classes(self.images, one.classes)
            batches = make_batches(chosen, recipe, settings, self.device)
            curvature = Curvature(model, criterion, batches, class_weights)
            row = self._measure(subject, one, curvature, len(chosen.labels), progress)
            self.document["spectra"].append(row)
            self._write()

    def _measure(
        self, subject: Subject, one: ClassSet, curvature: Curvature, images: int, progress: Progress
    ) -> dict[str, Any]:
        """Measure a spectrum, and what is asked for beside it; its row."""
        settings, began = self.settings, time.perf_counter()
        kept = KeptSteps(self.output / "state" / self._key(subject, one))

        def watch(probe: int, run: Lanczos) -> None:
            if run.steps == 0:
                kept.restore(probe, run)
                progress.count(images if probe else 0)
            else:
                kept.keep(probe, run)
            progress.step(f"{subject.label}, {one.label}", probe, run.steps, images)

        loss, norm = curvature.value(), float(torch.linalg.vector_norm(curvature.gradient()))
        like = torch.empty(curvature.size, dtype=curvature.dtype, device=curvature.device)
        # Of images that are fresh each time, there is nothing to keep.
        with curvature.gradients_kept(0 if settings.augment else free_memory(self.device) // _PART):
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
            "model": subject.model,
            "recipe": subject.recipe.name,
            "perturbation": recipe_to_dict(subject.recipe)["perturbation"],
            "overrides": dict(subject.overrides),
            "seed": subject.seed,
            "epoch": subject.epoch,
            "epochs": subject.recipe.schedule.epochs,
            "weights_sha256": subject.weights_sha256,
            "trained_on_these_images": subject.subset_sha256 == self.document["subset_sha256"],
            "set": one.label,
            "classes": list(one.classes),
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
        row |= self._beside(subject, curvature, spectrum)
        row["seconds"] = round(time.perf_counter() - began, 2)
        found = f"lambda_min {row['lambda_min']:.4g}, lambda_max {row['lambda_max']:.4g}"
        ended = "" if spectrum.converged else f", NOT CONVERGED in {settings.most_steps} steps"
        steps = " + ".join(map(str, spectrum.steps))
        progress.say(f"{subject.label}, {one.label}: {found}, {steps} steps, {row['seconds']:.1f} s{ended}")
        kept.forget()
        return row

    def _key(self, subject: Subject, one: ClassSet) -> str:
        """Name a spectrum by all that it depends on."""
        settings = {key: value for key, value in self.document["settings"].items() if key != "chunk"}
        parts = [subject.weights_sha256, self.document["subset_sha256"], one.classes, settings]
        return f"{one.label}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    def _beside(self, subject: Subject, curvature: Curvature, spectrum: Spectrum) -> dict[str, Any]:
        """Measure what is asked for along the extreme eigenvectors."""
        settings, recipe = self.settings, subject.recipe
        lowest, highest = spectrum.lowest.vector, spectrum.highest.vector
        found: dict[str, Any] = {}
        if settings.slice_reach is not None:
            plane = loss_plane(curvature, lowest, highest, settings.slice_reach, settings.slice_points)
            found["slice"] = {"lowest": plane.first, "highest": plane.second, "loss": plane.loss}
        if settings.escape:
            as_they_are = Augmentation(crop_padding=0, horizontal_flip=False)
            batches = BatchSettings(recipe.data.data_set, as_they_are, recipe.batch_size, settings.seed)
            whole = TrainBatches(self.images, batches, Delivery(self.device))
            tables = escape_tables(_siblings(recipe), recipe.data.class_counts, recipe.schedule.epochs)
            # Noise has no component of its own: that of the weights' gradient, and chance.
            tables = {name: table for name, table in tables.items() if table.direction == "gradient"}
            measured = measure_escape(
                curvature.model, curvature.criterion, whole.epoch(0), tables, lowest, curvature.class_weights
            )
            found["escape"] = {method: asdict(one) for method, one in measured.items()}
        return found

    def _write(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.output / DOCUMENT) as fresh:
            fresh.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")


def _siblings(recipe: Recipe) -> dict[str, Perturbation]:
    """Name the perturbations that are compared: SGD, those of the family's recipes, and this recipe's own."""
    family, _, own = recipe.name.rpartition("_")
    known = [word for word in _PERTURBATIONS if f"{family}_{word}" in list_recipes(f"{family}_*")]
    epochs = recipe.schedule.epochs
    siblings = {word: get_recipe(f"{family}_{word}").with_epochs(epochs).perturbation for word in known}
    return {"sgd": NoPerturbation()} | siblings | {own: recipe.perturbation}


def read_document(path: Path) -> dict[str, Any]:
    """Read `landscape.json`.

    Raises:
        InputError: it is missing, or no analysis.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged; analyse again with another --output") from error
    rows = document.get("spectra") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= _ROW for row in rows):
        raise InputError(f"{path} holds no analysis; choose another --output")
    return document
