"""Plots across recipes: which ones there are, and what they show."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from ltzoo.report import available_plots, group_by_model, recipe_plots
from tests.report.results import entry, result

FAMILY = "resnet32_cifar10lt_ce_drw"


@pytest.fixture
def drawn(monkeypatch) -> dict[str, Figure]:
    """Figures by name, composed and not painted."""
    found: dict[str, Figure] = {}
    monkeypatch.setattr(recipe_plots, "save_figure", lambda figure, path: found.update({path.name: figure}))
    return found


def draw(results, folder):
    for name, drawing in available_plots(group_by_model(results)).items():
        drawing(folder / name)


def test_accuracy_is_drawn_over_the_radius_from_three_on(drawn, tmp_path):
    radii = [result(f"{FAMILY}_{word}", accuracy=a) for word, a in (("sam05", 60.0), ("sgd", 50.0), ("sam", 70.0))]
    draw(radii[:2], tmp_path)
    assert f"radius_{FAMILY}.png" not in drawn
    draw(radii, tmp_path)
    assert drawn[f"radius_{FAMILY}.png"].axes[0].get_title().endswith(", 1 run")
    draw([*radii, result(f"{FAMILY}_sam", seed=1, accuracy=72.0), result(f"{FAMILY}_imbsam")], tmp_path)
    (axes,) = drawn[f"radius_{FAMILY}.png"].axes
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    assert lines["tail"].get_xdata().tolist() == [0.0, 0.05, 0.5]
    assert lines["tail"].get_ydata().tolist() == [50.0, 60.0, 71.0]
    assert "mean of 1 to 2 runs" in axes.get_title()


def test_each_group_is_drawn_over_the_epochs_a_line_a_perturbation(drawn, tmp_path):
    runs = [
        result("resnet20_digitslt_ce_sgd", accuracy=50.0),
        result("resnet20_digitslt_ce_sgd", seed=1, accuracy=60.0),
    ]
    draw(runs, tmp_path)
    assert drawn == {}
    shorter = result("resnet20_digitslt_ce_ssesam", seed=1, accuracy=80.0)
    shorter = replace(shorter, curve={key: values[:1] for key, values in shorter.curve.items()})
    draw([*(replace(run, curve=shorter.curve) for run in runs), shorter], tmp_path)
    assert drawn == {}  # one measured epoch is no line
    draw([*runs, result("resnet20_digitslt_ce_ssesam", accuracy=70.0), shorter, entry()], tmp_path)
    head, mid, tail = drawn["epochs_resnet20_digitslt_ce.png"].axes
    assert [axes.get_ylabel() for axes in (head, mid, tail)] == [f"{g} accuracy (%)" for g in ("head", "mid", "tail")]
    sgd, ssesam = tail.lines
    assert (sgd.get_label(), ssesam.get_label()) == ("sgd", "ssesam")
    assert (list(sgd.get_xdata()), list(sgd.get_ydata())) == ([1, 2], [10.0, 55.0])
    assert (list(ssesam.get_xdata()), list(ssesam.get_ydata())) == ([1], [10.0])  # epochs that every seed has


def test_the_step_profile_has_two_groups(drawn, tmp_path):
    draw([result(f"resnet32_cifar10step_ce_{word}") for word in ("sgd", "sam")], tmp_path)
    rows = drawn["epochs_resnet32_cifar10step_ce.png"].axes
    assert [axes.get_ylabel() for axes in rows] == ["head accuracy (%)", "tail accuracy (%)"]


def test_accuracy_is_drawn_over_the_cost_a_line_per_loss(drawn, tmp_path):
    words = {"sgd": 50.0, "sam": 60.0, "ssesam": 65.0}
    runs = [result(f"resnet20_digitslt_ce_{word}", accuracy=accuracy) for word, accuracy in words.items()]
    second_stage = result("resnet20_digitslt_crt_sam", accuracy=99.0)
    draw([*runs, second_stage, result("resnet20_digitslt_ce_sam10", accuracy=90.0)], tmp_path)
    assert "cost_resnet20_digitslt.png" not in drawn
    runs += [result("resnet20_digitslt_ce_drw_sgd", accuracy=55.0), result("resnet20_digitslt_ce_drw_sam", accuracy=58)]
    runs += [result("resnet20_digitslt_ce_drw_sam", seed=1, accuracy=62.0)]
    draw([*runs, second_stage, entry()], tmp_path)
    overall, *groups = drawn["cost_resnet20_digitslt.png"].axes
    titles = [f"{column} accuracy (%)" for column in ("overall", "head", "mid", "tail")]
    assert [axes.get_ylabel() for axes in (overall, *groups)] == titles
    lines = {line.get_label(): line for line in overall.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["ce", "ce_drw"]
    # 40 epochs of 3, 6 and 10.1 forward passes per image (docs/sharpness.md).
    assert lines["ce"].get_xdata().tolist() == pytest.approx([120, 240, 404])
    assert lines["ce"].get_ydata().tolist() == [50.0, 60.0, 65.0]
    assert lines["ce_drw"].get_ydata().tolist() == [55.0, 60.0]
    (legend,) = drawn["cost_resnet20_digitslt.png"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["ce", "ce_drw", "sgd", "sam", "ssesam"]


def test_costs_of_pretrained_networks_are_not_drawn(drawn, tmp_path):
    family = "efficientnetlite0_cifar100lt_frozen"
    draw([result(f"{family}_{loss}_{word}") for loss in ("ce", "la") for word in ("sgd", "sam")], tmp_path)
    assert f"epochs_{family}_la.png" in drawn and not [name for name in drawn if name.startswith("cost")]


def test_a_picture_is_painted_the_same_twice(tmp_path):
    found = group_by_model(
        [result(f"resnet20_digitslt_ce_{word}", accuracy=a) for word, a in (("sgd", 50.0), ("sam", 70.0))]
    )
    ((name, drawing),) = available_plots(found).items()
    drawing(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    drawing(tmp_path / name)
    assert first.startswith(b"\x89PNG")
    assert (tmp_path / name).read_bytes() == first
