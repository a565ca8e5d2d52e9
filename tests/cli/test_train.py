"""The train command: flags, overrides, and one line for bad input."""

import contextlib
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.state import AcceleratorState

from ltzoo.__main__ import main as front_door
from ltzoo.cli.recipe_options import requested_recipe
from ltzoo.cli.train import build_parser, main
from ltzoo.cli.train_report import report
from ltzoo.errors import InputError
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder

NAME = "resnet20_digitslt_vs_ssesam"
ROOT = Path(__file__).parents[2]
SHORT = ["--recipe", "resnet20_digitslt_ce_sam", "--epochs", "1", "--threads", "1"]
"""A short run; other numbers of threads round otherwise."""


def recipe_of(*argv: str):
    return requested_recipe(NAME, build_parser("train.py").parse_args(["--recipe", NAME, *argv]))


def run_of(output: Path) -> Path:
    return output / "resnet20_digitslt_ce_sam" / "seed0"


def test_the_flags_are_these():
    flags = {flag for action in build_parser("train.py")._actions for flag in action.option_strings}
    assert flags == {
        *("-h", "--help", "--import", "--recipe", "--data-dir", "--download", "--output", "--seed", "--resume"),
        *("--first-stages", "--cache-features"),
        *("--epochs", "-b", "--batch-size", "--lr", "--amp", "--amp-dtype", "--set", "--subset", "--hold-out"),
        *("--clip-grad", "--micro-batches", "--model-ema", "--model-ema-decay"),
        *(
            "--val-interval",
            "--channels-last",
            "--no-channels-last",
            "--eager",
            "--torchcompile",
            "--threads",
            "--tune",
        ),
        *("--log-wandb", "--log-with", "--save-epochs", "--half"),
        *(
            "--arch",
            "--pretrained",
            "--initial-checkpoint",
            "--initial-license",
            "--initial-data",
            "--tuning",
            "--img-size",
            "--opt",
            "--weight-decay",
            "--layer-decay",
        ),
        *(
            "--head-only",
            "--aa",
            "--color-jitter",
            "--mixup",
            "--cutmix",
            "--mixup-off-epoch",
            "--holdout",
            "-j",
            "--workers",
            "--sync-bn",
        ),
        *(
            "--image-root",
            "--image-suffix",
            "--class-folder",
            "--side-by-side",
            "--image-column",
            "--label-column",
            "--skip-unreadable",
            "--image-cache",
        ),
    }


def test_flags_change_fields_and_set_comes_last():
    recipe = recipe_of("--epochs", "20", "-b", "7", "--lr", "1e-2", "--set", "optimizer.lr=2e-2", "--set", "loss.tau=2")
    assert recipe.schedule.epochs == 20
    assert recipe.schedule.milestones == (16, 18)
    assert recipe.batch_size == 7
    assert recipe.optimizer.lr == 0.02
    assert recipe.loss.tau == 2


def test_timms_flags_for_the_step_change_its_fields():
    recipe = recipe_of("--clip-grad", "2", "--micro-batches", "4", "--model-ema", "--set", "ascent=micro_batch")
    assert recipe.optimizer.clip_grad == 2.0
    assert recipe.micro_batches == 4
    assert recipe.ascent == "micro_batch"
    assert recipe.ema_decay == 0.9998  # timm's default
    assert recipe_of("--model-ema", "--model-ema-decay", "0.99").ema_decay == 0.99


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--model-ema-decay", "0.9"), "--model-ema-decay says how --model-ema averages; add --model-ema"),
        (("--model-ema", "--model-ema-decay", "1"), "ema_decay must be between 0 and 1, not 1.0"),
        (("--clip-grad", "0"), "clip_grad must be above 0, not 0.0"),
        (("--micro-batches", "33"), "micro_batches must be between 1 and batch_size, not 33"),
        (("--set", "ascent=global"), "ascent must be one of averaged, local, micro_batch, not 'global'"),
    ],
)
def test_fields_of_the_step_that_make_no_sense_are_refused(argv, message):
    with pytest.raises(InputError, match=message):
        recipe_of(*argv)


def test_without_flags_it_is_the_recipe():
    assert recipe_of() == get_recipe(NAME)


@pytest.mark.parametrize(
    ("argv", "launched", "precision"),
    [
        ([], "no", "float32"),
        ([], "bf16", "bfloat16"),
        ([], "fp16", "float16"),
        (["--amp"], "bf16", "float16"),
        (["--amp", "--amp-dtype", "bfloat16"], "no", "bfloat16"),
    ],
)
def test_precision_is_the_flags_then_accelerates_then_the_recipes(argv, launched, precision, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    assert recipe_of(*argv).precision == precision


@pytest.mark.parametrize(
    ("argv", "hold_out", "epochs", "val_interval"),
    [
        ([], None, (), "1"),
        (["--hold-out", "20", "--save-epochs", "5,40,10", "--val-interval", "4,30:1"], 20, (5, 40, 10), "4,30:1"),
    ],
)
def test_options_of_a_run_reach_the_trainer(argv, hold_out, epochs, val_interval, monkeypatch):
    jobs = []
    monkeypatch.setattr("ltzoo.train.train_all", lambda given, report, side_by_side: jobs.extend(given))
    assert main(["--recipe", NAME, *argv]) == 0
    (recipe, options) = jobs[0]
    assert (recipe, options.hold_out, options.save_epochs) == (get_recipe(NAME), hold_out, epochs)
    assert str(options.val_interval) == val_interval


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--image-column", "path"), "--image-column needs images in files, but digitslt is in memory; leave it out"),
        (("--label-column", "kind"), "--label-column needs images in files, but digitslt is in memory; leave it out"),
        (("--first-stages", "runs"), f"--first-stages is for second stages, and there is none among {NAME}; leave"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(argv, message, tmp_path, capsys):
    assert main(["--recipe", NAME, "--output", str(tmp_path / "output"), *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_precision_that_accelerate_has_and_we_have_not_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    assert main(["--recipe", NAME]) == 2
    assert "mixed precision 'fp8'" in capsys.readouterr().err


def test_a_name_cannot_leave_the_output_folder(tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    document = recipe_to_dict(get_recipe(NAME)) | {"name": "../escaped"}
    file.write_text(yaml.safe_dump(document))
    assert main(["--recipe", str(file), "--output", str(tmp_path / "output")]) == 2
    assert "name must be lower-case words" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--recipe", NAME, "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_recipe_file_is_trained_and_one_of_version_0_1_is_refused(tmp_path, monkeypatch, capsys):
    jobs = []
    monkeypatch.setattr("ltzoo.train.train_all", lambda given, report, side_by_side: jobs.extend(given))
    assert front_door(["show", NAME]) == 0
    file = tmp_path / "recipe.yaml"
    file.write_text(capsys.readouterr().out)
    assert front_door(["train", "--recipe", str(file)]) == 0
    assert [recipe for recipe, _ in jobs] == [get_recipe(NAME)]
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({key: document[key] for key in ("name", "loss")} | {"classifier": "linear"}))
    assert front_door(["train", "--recipe", str(file), "--output", str(tmp_path / "output")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ltzoo train: error: {file}: the recipe '{NAME}' was written by ltzoo 0.1, and ")
    assert f"`ltzoo show {NAME}`" in error and error.count("\n") == 1
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--recipe", "resnet20_digitslt_vs_sesam"],
            "no recipe is called 'resnet20_digitslt_vs_sesam'; the nearest are",
        ),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml cannot be read as a recipe"),
        (["--recipe", NAME, "--set", "loss.gama=1"], "unknown key loss.gama"),
        (["--recipe", NAME, "--set", "batch_size=many"], "batch_size must be a whole number, not 'many'"),
        (["--recipe", NAME, "--set", "batch_size"], "--set must be key=value"),
        (["--recipe", NAME, "--lr", "-1"], "lr must be above 0"),
        (["--recipe", NAME, "--amp-dtype", "bfloat16"], "add --amp"),
        (["--recipe", NAME, "--hold-out", "140"], "holding out 140 would leave no training image; hold out fewer"),
        (["--recipe", NAME, "--save-epochs", "40,41"], f"{NAME} has no epoch 41 to save; --save-epochs takes 1 to 40"),
        (["--recipe", NAME, "--save-epochs", "7,7"], "--save-epochs names epoch 7 2 times; name it once"),
        (["--recipe", NAME, "--val-interval", "ten"], "--val-interval must be a number of epochs, or a schedule such"),
        (["--recipe", NAME, "--val-interval", "0"], "--val-interval 0 has an interval of 0"),
        (["--recipe", NAME, "--val-interval", "20,41:1"], f"20,41:1 changes at epoch 41, but {NAME} has 40 epochs"),
        (["--recipe", "resnet32_cifar10lt_ce_sgd", "--data-dir", "nowhere"], "the data folder nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("train.py: error: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: --recipe"),
        (["--recipe", NAME, "--epochs", "0"], "--epochs: must be at least 1, not 0"),
        (["--recipe", NAME, "-b", "0"], "must be at least 1, not 0"),
        (["--recipe", NAME, "--hold-out", "0"], "--hold-out/--holdout: must be at least 1, not 0"),
        (["--recipe", NAME, "--save-epochs", "10,2.5"], "--save-epochs: must be a whole number, not '2.5'"),
        (["--recipe", NAME, "--save-epochs", "10,"], "--save-epochs: must be a whole number, not ''"),
        (["--recipe", NAME, "--seed", "-1"], "--seed: must be from 0 to 4294967295, not -1"),
        (["--recipe", NAME, "--epochs", "ten"], "must be a whole number, not 'ten'"),
        (["--recipe", NAME, "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def script_run(tmp_path_factory):
    """What `python train.py` prints and writes, run as a script but in this process, which has torch already."""
    output = tmp_path_factory.mktemp("python")
    AcceleratorState._reset_state(reset_partial_state=True)
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["train.py", *SHORT, "--output", str(output)])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert stop.value.code == 0
    return output, shown.getvalue()


def test_the_report_shows_figures_pictures_and_how_to_load(script_run, capsys):
    output, shown = script_run
    folder = run_of(output)
    last = json.loads((folder / "metrics.json").read_text())["last"]
    assert f"{last['overall']:.1f}" in shown
    assert "overridden: schedule.epochs" in shown
    assert f"ltzoo.create_model('local-dir:{folder / 'checkpoint'}', pretrained=True)" in shown
    assert main([*SHORT, "--output", str(output)]) == 2
    assert "add --resume" in capsys.readouterr().err


@pytest.mark.slow
def test_accelerate_launch_python_and_the_module_give_the_same_run(script_run, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "train.py", *SHORT]
    # The launcher starts a Python of its own; the module's run, in this one, need not wait for it.
    with subprocess.Popen(
        [*launch, "--output", str(tmp_path / "accelerate")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as launched:
        assert front_door(["train", *SHORT, "--output", str(tmp_path / "module")]) == 0
        printed, _ = launched.communicate()
    assert launched.returncode == 0, printed
    written = []
    for output in (script_run[0], tmp_path / "accelerate", tmp_path / "module"):
        folder = run_of(output)
        assert "precision" not in yaml.safe_load((folder / "recipe.yaml").read_text())["overrides"]
        written.append((folder / "checkpoint" / "model.safetensors").read_bytes())
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("overrides", [{}, {"batch_size": [128, 64]}])
def test_the_report_sets_published_figures_beside_ours(finished_run, tmp_path, overrides):
    metrics = json.loads(finished_run.metrics.read_text())
    paper = metrics["best"] | {"overall": 12.5, "epoch": 9}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics | {"overrides": overrides, "paper": paper}))
    recipe = get_recipe("resnet32_cifar10lt_ce_drw_sam05")  # of which the paper's text gives only the tail
    lines = [line.split() for line in report(recipe, RunFolder(tmp_path)).splitlines()]
    assert ["the", "paper's", "rule", "(epoch", "10)", "12.5"] in [line[:6] for line in lines]
    published = [line for line in lines if line[:1] == ["published:"]]
    assert published == ([] if overrides else [["published:", "rangwani2022,", "Figure", "4,", "rho", "0.05", "63.0"]])
