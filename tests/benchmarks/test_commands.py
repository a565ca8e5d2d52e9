"""The benchmark commands: bad input gives one line, and small runs give the expected numbers."""

import json
import os

import pytest
import torch
from PIL import Image

import casting
import epoch
import head
import landscape
import large
import loading
import one_stage
import operations
import peers
import recipe
import side_by_side
import step
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from machine import peak_bytes

DIGITS = "resnet20_digitslt_ce_ssesam"
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("command", "argv", "found"),
    [
        (step, [], "required: --device"),
        (step, ["--device", "tpu"], "invalid choice: 'tpu'"),
        (step, ["--device", "cpu", "--methods", "adam"], "invalid choice: 'adam'"),
        (step, ["--device", "cpu", "--repeats", "0"], "must be at least 1"),
        (step, ["--device", "cpu", "--workers", "-1"], "--workers must be at least 0"),
        (step, ["--device", "cpu", "--data-dir", "{}/none"], "does not exist"),
        (step, ["--device", "cuda"], "torch finds no CUDA device"),
        (epoch, ["--methods", "imbsam"], "invalid choice: 'imbsam'"),
        (epoch, ["--data-dir", "{}/none"], "does not exist"),
        (casting, ["--data-dir", "{}/none"], "does not exist"),
        (casting, ["--checkpoint", "{}/none.safetensors"], "is missing or damaged"),
        (recipe, ["resnet20_digitslt_ce", "--device", "cpu"], "no recipe is called"),
        (recipe, [DIGITS, "--device", "cuda"], "torch finds no CUDA device"),
        (recipe, ["resnet32_cifar100lt_ce_sgd", "--device", "cpu", "--data-dir", "{}/none"], "does not exist"),
        (recipe, [DIGITS, "--device", "cpu", "--epochs", "0"], "must be at least 1"),
        (head, ["resnet20_digitslt_ce"], "no recipe is called"),
        (head, ["resnet20_digitslt_ce_sgd"], "does not train the head alone, all else frozen"),
        (one_stage, ["resnet20_digitslt_proco"], "no recipe is called"),
        (one_stage, ["resnet32_cifar100lt_proco_sgd", "--data-dir", "{}/none"], "does not exist"),
        (side_by_side, [DIGITS, "--device", "cuda"], "torch finds no CUDA device"),
        (side_by_side, ["resnet20_digitslt_ce", "--device", "cpu"], "no recipe is called"),
        (landscape, [], "required: --device"),
        (landscape, ["--device", "cuda"], "torch finds no CUDA device"),
        (landscape, ["--device", "cpu", "--recipe", "resnet20_digitslt_ce"], "no recipe is called"),
        (landscape, ["--device", "cpu", "--class", "10"], "has no class or group '10'"),
        (landscape, ["--device", "cpu", "--class", "each"], "means 10 spectra"),
        (landscape, ["--device", "cpu", "--chunk", "0"], "must be at least 1"),
        (operations, ["resnet20_digitslt_ce"], "no recipe is called"),
        (operations, ["resnet50_imagenetlt_ce_sgd"], "is known only from its files"),
        (operations, ["resnet9_cifar100lt_ncm_sgd"], "takes no training steps"),
        (large, ["--device", "cpu", "--batch", "1"], "--batch must be at least 2"),
        (large, [DIGITS, "--device", "cpu"], "is no recipe of imagenetlt or inat18"),
        (loading, [DIGITS, "--device", "cpu"], "holds its images in memory"),
        (loading, ["resnet50_imagefolder_ce_sgd", "--device", "cpu", "--data-dir", "{}/none"], "/none"),
    ],
)
def test_bad_input_is_one_line(command, argv, found, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")  # put back afterwards
    try:
        code = command.main([word.format(tmp_path) for word in argv])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    captured = capsys.readouterr()
    assert found in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_without_the_peers_the_command_says_how_to_install_them(capsys, monkeypatch):
    monkeypatch.setattr(peers, "peers", None)
    assert peers.main([]) == 2
    captured = capsys.readouterr()
    assert captured.err == "peers.py: error: pytorch_optimizer is not installed; run: pip install pytorch_optimizer\n"
    assert captured.out == ""


def test_the_plain_closure_is_the_step_of_sam():
    """The peers' own steps are compared in tests/sharpness/test_peers.py."""
    images, targets = torch.randn(6, 1, 4, 4), torch.arange(6)

    def weights(make):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
        take = make(model)
        for _ in range(3):
            take(images, targets)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    plain, ours = (weights(peers.sides()["SAM", whose]) for whose in ("plain closure", "ltzoo"))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-6)


def test_a_whole_run_follows_from_its_stages():
    first = step.Comparison("resnet32", "ssesam-stage1", 128, [20.0, 30.0], [10.0, 10.0], 5, 7)
    second = step.Comparison("resnet32", "ssesam-stage2", 128, [20.0, 20.0], [5.0, 10.0], 6, 4)
    assert step.whole_run([first], 0.7) == []
    (whole,) = step.whole_run([second, first], 0.7)
    assert whole.computed
    assert whole.reference_ms == pytest.approx([20, 27])
    assert whole.ltzoo_ms == pytest.approx([8.5, 10])
    assert (whole.reference_bytes, whole.ltzoo_bytes) == (6, 7)
    assert whole.ratios == pytest.approx([20 / 8.5, 2.7])
    lines = step.table([first, whole]).splitlines()
    assert lines[2].startswith("| resnet32 | ssesam-stage1 | 25 | 10 | 2.50 (2.00 .. 3.00) | 5120 | 12800 |")
    assert "(computed)" in lines[3]
    assert json.loads(json.dumps(whole.to_dict()))["ratio"]["median"] == pytest.approx(2.527, abs=1e-3)


def test_the_cost_of_an_epoch_follows_from_the_fastest_rounds():
    step_ms = {"plain, eager": [300.0, 200.0], "ltzoo, eager": [100.0, 200.0]}
    times = epoch.Times(step_ms, [2.0, 4.0], {"ltzoo, eager": [1.0, 0.5]}, steps=10, test_images=1000, epochs=200)
    assert times.ratios("plain, eager", "ltzoo, eager") == [3.0, 1.0]
    assert times.augmentation_share("ltzoo, eager") == pytest.approx(0.02)
    # 500 ms of evaluation, 1000 ms of training; 7 evaluations before epoch 160 and 41 from there on.
    assert times.evaluation_share("ltzoo, eager", epoch.ValInterval()) == pytest.approx(0.5)
    assert times.evaluation_share("ltzoo, eager", epoch._SCHEDULE) == pytest.approx(0.5 * 48 / 200)
    assert epoch.report("sgd", times) == [
        ["sgd, eager", "200", "100", "2.00 (1.00 .. 3.00)", "2 (2 %)", "50 %", "12 %"]
    ]
    assert len(epoch.heading(compiled=False)) == 7


@pytest.mark.slow
def test_an_epoch_is_measured(capsys, monkeypatch):
    folder = os.environ.get("LTZOO_DATA")
    if not folder:
        pytest.skip("LTZOO_DATA names no folder with CIFAR")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    data = ["--data-dir", folder, "--threads", "1"]
    argv = ["--methods", "sgd", "--no-compile", "--repeats", "1", "--steps", "1"]
    assert epoch.main([*data, *argv]) == 0
    row = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert row[0] == "sgd, eager"
    assert all(float(cell) > 0 for cell in row[1:3])


def test_the_peak_is_that_of_live_tensors():
    before = torch.empty(1000, 250)

    def work():
        nonlocal before
        a = torch.empty(1000, 250)  # a million bytes
        b = torch.empty(2000, 250)
        del a, before  # what was there before is not counted when it goes
        c = torch.empty(500, 250)
        del b
        return c

    assert peak_bytes(CPU, work) == 3_000_000


@pytest.mark.parametrize(
    ("name", "wanted", "epochs"),
    [
        ("resnet32_cifar100lt_ce_sgd", 2, 2),
        ("resnet32_cifar100lt_ce_ssesam", 1, 2),
        ("resnet32_cifar100lt_ce_ssesam", 2, 4),
        ("resnet32_cifar100lt_ce_ssesam", 500, 200),
    ],
)
def test_both_stages_are_measured(name, wanted, epochs):
    assert recipe.short_recipe(get_recipe(name), wanted).schedule.epochs == epochs


def test_the_whole_recipe_follows_from_what_was_measured():
    whole = get_recipe("resnet32_cifar100lt_ce_ssesam")
    both, tail = recipe.kinds_of(whole)[0], recipe.kinds_of(whole)[-1]
    measured = recipe.Measured([both, both, tail], [12.0, 10.0, 6.0], [1.0, 1.0, 1.0], 5.0, 0.3, 2.0, "cpu")
    text = recipe.report(whole, measured)
    assert "| training, stage 1 | 2 epochs: first 12 s, later 10 s (10 .. 10) | 140 epochs: 1402 s |" in text
    assert "| training, stage 2 | 1 epochs: first 6 s | 60 epochs: 360 s |" in text
    assert "| all | 38.3 s | 1989 s (33.1 min) |" in text  # 1402 + 360 + 200 * 1.1 + 5 + 2


@pytest.mark.slow
def test_a_recipe_is_measured_with_the_real_trainer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    assert recipe.main(["resnet20_digitslt_ce_sgd", "--device", "cpu", "--epochs", "1"]) == 0
    assert os.environ["ACCELERATE_USE_CPU"] == "1"
    out = capsys.readouterr().out
    assert "measured 1 epochs of" in out
    assert "| training | 1 epochs: first " in out
    assert list(tmp_path.iterdir()) == []


def test_runs_are_measured_beside_each_other(monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    took = {1: 2.0, 3: 2.4}
    monkeypatch.setattr(side_by_side, "seconds", lambda recipe, data_dir, runs: took[runs])
    assert side_by_side.main(["resnet20_digitslt_ce_sgd", "--device", "cpu"]) == 0
    assert "one run 2 s, 3 runs 2.4 s; throughput gain 2.50 (2.50 .. 2.50), 3 rounds" in capsys.readouterr().out


def test_a_product_is_counted_as_three_gradients(monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    tiny = ["--class", "9", "--steps", "2", "--repeats", "2", "--threads", "1"]
    assert landscape.main(["--device", "cpu", *tiny]) == 0
    heading, _, _, _, *units, _, last = capsys.readouterr().out.splitlines()
    counted = {name: [float(cell) for cell in cells[1:3]] for name, *cells in (line[2:].split(" | ") for line in units)}
    assert "trained weights (269,434)" in heading
    assert "class 9, 6 images" in heading
    assert counted["gradient"] == pytest.approx([3, 1], abs=0.02)
    assert counted["product"] == pytest.approx([9, 3], abs=0.05)
    assert counted["product, gradient graphs kept"] == pytest.approx([6, 2], abs=0.05)
    assert last.startswith("a spectrum of 2 Lanczos steps, one probe: ")


def test_times_are_compared_per_round():
    seconds = [[0.1, 0.2, 0.1], [0.3, 0.5, 0.4], [0.9, 2.0, 1.0], [0.6, 0.6, 0.6]]
    costs = landscape.Costs([100, 300, 903, 602], seconds)
    assert costs.ratios(2, 1) == pytest.approx([3, 4, 2.5])
    assert landscape.table(costs, 10).splitlines()[-2] == (
        "| product | 0.0 | 9.03 | 3.01 | 1000 | 10.00 (9.00 .. 10.00) | 3.00 (2.50 .. 4.00) |"
    )


def test_large_recipes_are_priced_from_their_steps(capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    seen = []

    def measure(recipe, epoch, device, batch, repeats):
        seen.append((recipe.benchmark, epoch))
        one_group = epoch >= 72
        return large.Cost([0.1, 0.2, 0.3] if one_group else [0.4, 0.5, 0.5], 2**30, 2**30 / 256, 25_600_000)

    monkeypatch.setattr(large, "measure", measure)
    before = torch.get_num_threads()
    try:
        assert large.main(["resnet50_imagenetlt_ce_ssesam", "resnet50_imagenetlt_ce_imbsam", "--device", "cpu"]) == 0
    finally:
        torch.set_num_threads(before)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[-2:]]
    # Stage 2 of SSE-SAM is ImbSAM's step, and is measured once.
    assert seen == [("imagenetlt", 0), ("imagenetlt", 72)]
    hours = [(72 * a + 18 * b) * 115_846 / 3600 for a, b in ((0.5, 0.2), (0.4, 0.1), (0.5, 0.3))]
    assert rows[0] == [
        "`resnet50_imagenetlt_ce_ssesam`",
        "40,770",  # 90 x 453
        "72 x 2, 18 x 5",
        f"{hours[0]:.4g} ({hours[1]:.4g} .. {hours[2]:.4g})",
        "25.6 M",
        "2.0",
    ]
    assert rows[1][2] == "90 x 5"


@pytest.mark.slow
def test_a_step_of_a_large_recipe_is_measured():
    recipe = override(get_recipe("resnet50_imagenetlt_ce_sgd"), {"input.size": 32, "architecture": "resnet18"})
    cost = large.measure(recipe, 0, CPU, batch=4, repeats=1)
    weights = 4 * cost.parameters
    assert cost.parameters == 11_689_512  # timm's ResNet-18
    assert 3 * weights < cost.fixed < 4 * weights  # and gradient, and momentum
    assert len(cost.seconds) == 1
    assert 0 < cost.per_image < weights


@pytest.mark.slow
def test_loader_and_step_are_measured_apart_and_together(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    for split in ("train", "val"):
        for name in ("ape", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (40, 30), (number, 9, 9)).save(tmp_path / split / name / f"{number}.png")
    small = ["--arch", "resnet20_cifar", "--img-size", "16", "-b", "4", "--workers", "0", "--rounds", "2"]
    before = torch.get_num_threads()
    try:
        data = ["--data-dir", str(tmp_path), "--device", "cpu", "--steps", "2"]
        assert loading.main(["resnet50_imagefolder_ce_sgd", *data, *small]) == 0
    finally:
        torch.set_num_threads(before)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[0] for row in rows] == [
        "the step alone",
        "the loader alone, 0 workers",
        "both, 0 workers",
    ]
    assert all(float(row[1].split()[0]) > 0 for row in rows)
    assert rows[1][3] in ("the loader binds", "the step binds")
    assert len(rows[2][3].removeprefix("MiB after each: ").split(", ")) == 2


def test_operations_are_two_for_each_multiply_add_forward_and_twice_as_many_backward():
    """ResNet-9 by hand: an image of 32 x 32 pixels, three channels, and the channels 16, 32, 64 and 128."""
    sgd, sam, ssesam = (get_recipe(f"resnet9_cifar100lt_ce_{word}") for word in ("sgd", "sam", "ssesam"))
    layers = [(3, 16, 32), (16, 32, 32), (32, 32, 16), (32, 32, 16), (32, 64, 16)]
    layers += [(64, 128, 8), (128, 128, 4), (128, 128, 4)]
    forward = [2 * 9 * inputs * outputs * side**2 for inputs, outputs, side in layers] + [2 * 128 * 100]
    # The first layer's input has no gradient.
    convolutions = (3 * sum(forward) - forward[0]) * sum(sgd.data.class_counts) * sgd.schedule.epochs
    found, parameters = operations.operations(sgd)
    matrices = [(outputs, 9 * inputs) for inputs, outputs, _ in layers]
    # Muon, once a step: five times two products of the rows and one with the columns, of the flat side.
    short = [(min(shape), max(shape)) for shape in matrices]
    muon = sum(5 * (2 * 2 * rows**2 * columns + 2 * rows**3) for rows, columns in short)
    steps = sum(sgd.data.class_counts) / sgd.batch_size * sgd.schedule.epochs
    assert found == pytest.approx(convolutions + muon * steps, rel=1e-6)
    assert parameters == 424_564
    # SAM takes two forward and two backward passes, and one step of Muon.
    assert operations.operations(sam)[0] == pytest.approx(2 * convolutions + muon * steps, rel=1e-6)
    longest = operations.operations(ssesam)[0] - muon * steps
    # SSE-SAM: 18 epochs with three forward and four backward passes, then 9 with two and three.
    backward = 2 * sum(forward) - forward[0]
    passes = 18 * (3 * sum(forward) + 4 * backward) + 9 * (2 * sum(forward) + 3 * backward)
    assert longest == pytest.approx(sum(sgd.data.class_counts) * passes, rel=1e-6)


def test_a_head_is_timed_on_features_and_on_images(monkeypatch, capsys):
    frozen = override(get_recipe("resnet20_digitslt_crt_sgd"), {"trainable.batchnorm": "frozen"})
    monkeypatch.setattr(head, "get_recipe", lambda name: frozen)
    assert head.main([frozen.name, "--steps", "2"]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"`{frozen.name}` on cached features", "the same through the network", "ratio"]
    (once, cached, whole), (_, anew, all_anew), _ = ([float(cell or 0) for cell in row[1:]] for row in rows)
    epochs = frozen.schedule.epochs
    assert whole == pytest.approx(once + epochs * cached, abs=0.01 * epochs)
    assert all_anew == pytest.approx(epochs * anew, abs=0.6 + 0.06 * epochs)
    assert anew > 0 and once > 0


def test_steps_of_one_stage_methods_are_timed(capsys):
    names = [f"resnet20_digitslt_{method}_sgd" for method in ("ce", "glmc")]
    assert one_stage.main([*names, "--steps", "2"]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"`{name}`" for name in names]
    assert [row[2:4] for row in rows] == [["3 x 40", "14"], ["6 x 40", "14"]]
    for row in rows:
        each, epoch = float(row[4].split()[0]), float(row[5])
        assert each > 0 and abs(epoch - 14 * each) < 1
