import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch
from filelock import FileLock

from ltzoo import checkpoints
from ltzoo.data import Subset, make_groups
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.landscape import AnalysedImages, Analysis, Curvature, Lanczos, Settings, parse_class_sets, read_checkpoint
from ltzoo.landscape.loss import AugmentedBatches, make_batches, make_criterion, of_classes
from ltzoo.registry import get_recipe

NAME = "resnet20_digitslt_ce_sgd"
RECIPE = get_recipe(NAME)
GROUPS = make_groups("mislas", RECIPE.data)
CPU = torch.device("cpu")
QUICK = Settings(probes=2, most_steps=4)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_train(RECIPE.data, RECIPE.subset, tmp_path_factory.mktemp("data"))


def analyse(output, digits, words, settings=QUICK, resume=False, subset=None):
    images, own = digits
    analysis = Analysis(output, RECIPE, GROUPS, AnalysedImages(images, subset or own), settings, CPU, resume)
    return analysis.run([read_checkpoint(NAME)], parse_class_sets(words, RECIPE.data, GROUPS))


@pytest.fixture(scope="module")
def quick_analysis(digits, tmp_path_factory):
    """A folder with class 9 analysed, for tests to copy."""
    folder = tmp_path_factory.mktemp("quick")
    analyse(folder, digits, ["9"])
    return folder


@pytest.fixture
def analysed(quick_analysis, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(quick_analysis, tmp_path / "out")


def test_a_row_says_what_was_measured(tmp_path, digits):
    document = analyse(tmp_path / "out", digits, ["9"], Settings(probes=2))
    (row,) = document["spectra"]
    images, labels = next(iter(make_batches(of_classes(digits[0], (9,)), RECIPE, QUICK, CPU)))
    model = checkpoints.load_checkpoint(read_checkpoint(NAME).folder).eval()
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    norm = torch.nn.utils.get_total_norm(gradient)
    assert row["images"] == len(labels) == RECIPE.data.class_counts[9]
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert row["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert row["converged"] and row["lambda_min"] < 0 < row["lambda_max"]
    assert row["residual_min"] <= 0.01 * -row["lambda_min"] and row["residual_max"] <= 1e-4 * row["lambda_max"]
    assert len(row["steps"]) == len(row["density"]["nodes"]) == 2
    assert row["trace_error"] > 0
    assert not (tmp_path / "out" / "state").exists()


def test_missing_convergence_is_reported(tmp_path, digits, capsys):
    (row,) = analyse(tmp_path, digits, ["9"])["spectra"]
    assert not row["converged"] and row["steps"] == [4, 4]
    assert "NOT CONVERGED in 4 steps" in capsys.readouterr().err


def test_stored_spectra_are_not_measured_again(analysed, digits, monkeypatch):
    stored = (analysed / "landscape.json").read_text()
    with monkeypatch.context() as patched:
        patched.setattr(Curvature, "product", None)
        analyse(analysed, digits, ["9"], resume=True)
    assert (analysed / "landscape.json").read_text() == stored
    # A smaller chunk may continue it.
    more = analyse(analysed, digits, ["9", "8"], replace(QUICK, chunk=4), resume=True)
    assert [row["set"] for row in more["spectra"]] == ["9", "8"]


def test_an_interrupted_spectrum_resumes(tmp_path, digits, monkeypatch):
    settings = Settings(probes=1, most_steps=6, precision="float64")
    (whole,) = analyse(tmp_path / "whole", digits, ["9"], settings)["spectra"]
    step, taken = Lanczos.step, []

    def stopped(self):
        if len(taken) == 4:
            raise KeyboardInterrupt
        taken.append(step(self))

    monkeypatch.setattr("ltzoo.landscape.saved_steps.SavedSteps.__init__.__defaults__", (0.0, lambda: 0.0))
    monkeypatch.setattr(Lanczos, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        analyse(tmp_path / "out", digits, ["9"], settings)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state"]
    taken.clear()
    (again,) = analyse(tmp_path / "out", digits, ["9"], settings, resume=True)["spectra"]
    assert len(taken) == 3
    for key in ("lambda_min", "lambda_max", "residual_min", "trace"):
        assert again[key] == pytest.approx(whole[key], rel=1e-6)
    assert not (tmp_path / "out" / "state").exists()


def test_another_analysis_in_the_folder_is_refused(analysed, digits):
    with pytest.raises(InputError, match="exists; add --resume"):
        analyse(analysed, digits, ["9"])
    with pytest.raises(InputError, match="is another analysis: probes differs"):
        analyse(analysed, digits, ["9"], Settings(probes=3, most_steps=4), resume=True)
    document = json.loads((analysed / "landscape.json").read_text())
    document["spectra"][0]["weights_sha256"] = "0" * 64
    (analysed / "landscape.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="with other weights than"):
        analyse(analysed, digits, ["9"], resume=True)
    with pytest.raises(InputError, match="with other weights than"):
        analyse(analysed, digits, ["8"], resume=True)
    for damaged in ("[]", '{"spectra": [{}]}'):
        (analysed / "landscape.json").write_text(damaged)
        with pytest.raises(InputError, match="holds no analysis"):
            analyse(analysed, digits, ["9"], resume=True)


def test_saved_steps_of_other_settings_are_not_used(tmp_path, digits, monkeypatch):
    monkeypatch.setattr("ltzoo.landscape.saved_steps.SavedSteps.__init__.__defaults__", (0.0, lambda: 0.0))
    monkeypatch.setattr("ltzoo.landscape.saved_steps.SavedSteps.delete", lambda self: None)
    settings = replace(QUICK, probes=1, precision="float64")
    (clean,) = analyse(tmp_path / "clean", digits, ["9"], replace(settings, seed=7))["spectra"]
    analyse(tmp_path / "out", digits, ["9"], settings)
    (tmp_path / "out" / "landscape.json").unlink()
    (row,) = analyse(tmp_path / "out", digits, ["9"], replace(settings, seed=7), resume=True)["spectra"]
    assert row["trace"] == pytest.approx(clean["trace"], rel=1e-6)
    assert len(list((tmp_path / "out" / "state").iterdir())) == 2


def test_a_folder_in_use_is_refused(tmp_path, digits):
    with FileLock(tmp_path / "lock"), pytest.raises(InputError, match="is in use by another process"):
        analyse(tmp_path, digits, ["9"])


def test_nothing_is_left_where_nothing_could_be_measured(tmp_path, digits, monkeypatch):
    def diverged(self, vector):
        raise InputError("a Hessian-vector product is not finite")

    monkeypatch.setattr(Curvature, "product", diverged)
    with pytest.raises(InputError, match="not finite"):
        analyse(tmp_path / "out", digits, ["9"])
    assert not (tmp_path / "out").exists()


def test_a_full_device_is_one_line(tmp_path, digits, monkeypatch):
    def full(self, vector):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Curvature, "product", full)
    with pytest.raises(InputError, match="memory of cpu does not suffice; choose a smaller --chunk"):
        analyse(tmp_path / "out", digits, ["9"])


def test_the_recipes_own_loss_and_augmented_images(tmp_path, digits):
    settings = Settings(probes=1, loss="recipe", augment=True, most_steps=30)
    (row,) = analyse(tmp_path, digits, ["9"], settings)["spectra"]
    # The matrix changes from product to product.
    assert row["images"] == 6 and not row["converged"]


def test_nothing_is_written_where_the_memory_does_not_suffice(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**8))
    with pytest.raises(InputError, match="use --max-steps"):
        analyse(tmp_path / "out", digits, ["9"], replace(QUICK, most_steps=100))
    assert not (tmp_path / "out").exists()


def test_images_that_the_model_was_not_trained_on_are_said(tmp_path, digits, capsys):
    other = Subset("cao", "scikit-learn", digits[1].indices[::-1].copy())
    (row,) = analyse(tmp_path, digits, ["9"], subset=other)["spectra"]
    assert row["trained_on_these_images"] is False
    assert "was trained on other images of digitslt" in capsys.readouterr().err


def test_slice_and_escape_are_measured_where_asked_for(tmp_path, digits):
    settings = Settings(probes=1, most_steps=4, slice_reach=0.1, slice_points=3, escape=True)
    few = of_classes(digits[0], (7, 8, 9)), digits[1]
    (row,) = analyse(tmp_path, few, ["9"], settings)["spectra"]
    assert row["slice"]["lowest"] == [-0.1, 0, 0.1]
    assert row["slice"]["loss"][1][1] == pytest.approx(row["loss"], rel=1e-5)
    assert {"sgd", "sam", "imbsam"} < set(row["escape"])
    assert row["escape"]["sgd"]["mean_square"] > 0


def test_the_recipes_own_loss_has_its_weights():
    drw = get_recipe("resnet32_cifar10lt_ldam_drw_sgd")
    settings = Settings(loss="recipe", precision="float64")
    _, before = make_criterion(drw, 160, settings, CPU)
    criterion, after = make_criterion(drw, 161, settings, CPU)
    assert before.unique().tolist() == [1.0]
    assert torch.allclose(after, drw.reweighting.weights(drw.data.class_counts, 160))
    logits, labels = torch.randn(6, 10, dtype=torch.float64), torch.arange(6)
    assert torch.equal(criterion(logits, labels), drw.loss.bind(drw.data.class_counts)(logits, labels))


def test_cross_entropy_takes_a_cosine_classifiers_logits_scaled():
    criterion, weights = make_criterion(get_recipe("resnet32_cifar10lt_ldam_drw_sgd"), 200, Settings(), CPU)
    logits, labels = torch.randn(6, 10), torch.arange(6)
    assert weights is None
    assert torch.allclose(criterion(logits, labels), torch.nn.CrossEntropyLoss(reduction="none")(30 * logits, labels))


def test_augmented_images_are_others_each_time_and_the_plain_ones_never(digits):
    tail = of_classes(digits[0], (9,))
    for settings, same in ((Settings(), True), (Settings(augment=True), False)):
        batches = make_batches(tail, RECIPE, settings, CPU)
        assert isinstance(batches, AugmentedBatches) is not same
        (first, _), (second, _) = next(iter(batches)), next(iter(batches))
        assert torch.equal(first, second) is same


@pytest.mark.parametrize(
    "changes",
    [{"most_steps": 1}, {"tolerance": 0.0}, {"tolerance": 1.0}, {"slice_reach": 0.0}, {"slice_points": 4}],
)
def test_settings_without_sense_are_refused(changes):
    with pytest.raises(InputError, match=r"not \d"):
        Settings(**changes)
