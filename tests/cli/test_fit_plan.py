"""What the fit command plans: the recipe, its options and its time; and a dry run, which stops there."""

import pytest

from ltzoo.__main__ import main
from ltzoo.cli import fit, run_time
from ltzoo.cli.fit_plan import check_recipe, make_plan
from ltzoo.cli.run_time import RunTime, in_words
from ltzoo.errors import InputError
from ltzoo.train import RunFolder, start
from ltzoo.train.tune import Trial
from tests.cli.test_fit import TINY
from tests.cli.test_recipe_suggestion import profile
from tests.train.folders import plant_splits


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A training and a test split."""
    return plant_splits(tmp_path_factory.mktemp("data"))


def planned(*given: str, counts=(120, 30, 5), no_test: bool = False) -> list[str]:
    """The words of the plan for these options."""
    arguments = fit.build_parser("ltzoo fit").parse_args(["photos", *given])
    check_recipe(arguments)
    return make_plan(arguments, [word for word in given if word != "--fresh"], profile(*counts), no_test).words


FULL = ["--recipe", "resnet50_imagefolder_vs_ssesam", "--data-dir", "photos"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], [*FULL, "--pretrained"]),
        (["--epochs", "3"], [*FULL, "--pretrained", "--epochs", "3"]),
        (["--fresh"], FULL),
        (["--pretrained"], [*FULL, "--pretrained"]),
        (["--initial-checkpoint", "w.pth"], [*FULL, "--initial-checkpoint", "w.pth"]),
        (["--set", "start.name=fresh"], [*FULL, "--set", "start.name=fresh"]),
        (
            ["--recipe", "resnet50_imagefolder_ce_sgd"],
            ["--data-dir", "photos", "--pretrained", "--recipe", "resnet50_imagefolder_ce_sgd"],
        ),
        (
            ["--recipe", "resnet50_imagefolder_crt_sgd"],  # it begins with the run of another recipe
            ["--data-dir", "photos", "--recipe", "resnet50_imagefolder_crt_sgd"],
        ),
    ],
)
def test_what_is_given_takes_the_place_of_what_is_suggested(given, words):
    assert planned(*given) == words


def test_small_folders_get_what_inspect_suggests_unless_it_is_given():
    small = ["--set", "groups=thirds", "--batch-size", "8"]
    first = ["--recipe", "resnet50_imagefolder_vs_sam", "--data-dir", "photos", "--hold-out", "0.1", "--pretrained"]
    counts = (19, 15, 4)
    assert planned(counts=counts, no_test=True) == [*first, *small]
    given = ("-b", "4", "--set", "groups=count")
    assert planned(*given, counts=counts, no_test=True) == [*first, *given]


def test_a_plan_is_refused_for_a_recipe_file_of_another_benchmark(tmp_path, capsys):
    path = tmp_path / "r.yaml"
    assert main(["show", "resnet32_cifar10lt_ce_sgd"]) == 0
    path.write_text(capsys.readouterr().out)
    with pytest.raises(InputError, match="is a recipe for cifar10lt"):
        planned("--recipe", str(path))


def test_a_dry_run_beside_a_finished_run_says_so_and_times_it(data, tmp_path, capsys):
    there = tmp_path / "resnet50_imagefolder_vs_sam" / "seed0"
    there.mkdir(parents=True)
    (there / "recipe.yaml").write_text("not read")
    assert main(["fit", str(data), *TINY, "--dry-run", "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"note: {there} has a run already; to train, add --resume to continue it, or name another --output" in text
    assert "time: about " in text.splitlines()[-1]
    assert [path.name for path in there.iterdir()] == ["recipe.yaml"]


def test_a_dry_run_does_not_download_timms_weights(data, tmp_path, monkeypatch, capsys):
    def no_download(*arguments):
        raise InputError("downloaded")

    monkeypatch.setattr(start, "_fetch_timm_weights", no_download)
    pretrained = [word for word in TINY if word != "--fresh"]
    assert main(["fit", str(data), *pretrained, "--dry-run", "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert " --pretrained " in text and "time: about " in text.splitlines()[-1]
    assert main(["fit", str(data), *pretrained, "--output", str(tmp_path)]) == 2
    assert "downloaded" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_writes_nothing(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", str(data), *TINY, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "recipe: resnet50_imagefolder_vs_sam, since" in text
    assert "time: about " in text.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_that_of_the_steps_and_the_measurements(data, tmp_path, monkeypatch):
    def step(self, setting):
        run_time.time.sleep(0.05)
        return 0.05

    monkeypatch.setattr(Trial, "step", step)
    data = ("--recipe", "resnet50_imagefolder_vs_ssesam", "--data-dir", str(data), "--output", str(tmp_path))
    arguments = fit.train.build_parser("x").parse_args([*data, *TINY[:-1], "-b", "4", "--val-interval", "2"])
    recipe = fit.requested_recipe(arguments.recipe[0], arguments)
    found = run_time.estimate_run_time(recipe, fit.train.train_options(arguments), RunFolder(tmp_path / "x"))
    assert (found.device, found.steps) == ("cpu", 2 * 4)  # 17 images are 4 batches of 4; the last one has 5
    assert found.measurements == 1 + 3
    assert 0.05 <= found.step < 0.2
    assert found.seconds == pytest.approx(8 * (found.step + found.read) + 4 * found.measurement)
    assert list(tmp_path.iterdir()) == []


def test_a_head_on_cached_features_is_not_timed(data, tmp_path, capsys):
    options = ("--head-only", "--cache-features", str(tmp_path / "f"), "--dry-run", "--output", str(tmp_path / "o"))
    assert main(["fit", str(data), *TINY, *options]) == 0
    assert "time: not measured, since the head alone is computed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (12000, "3 h 20 min")]
)
def test_durations(seconds, words):
    assert in_words(seconds) == words
    assert str(RunTime("cpu", 1, seconds, 0.0, 0, 0.0)).startswith(f"about {words} on cpu: 1 step of ")
