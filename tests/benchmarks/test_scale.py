"""The simulation of thousands of classes: its counts add up, and a small one gives every row of the table."""

import pytest
import torch

import scale
from simulation import natural_counts, simulate_predictions

SMALL = ["--images", "3000", "--classes", "60", "-b", "8", "--repeats", "2", "--threads", "1"]


@pytest.mark.parametrize(("images", "classes"), [(437_513, 8142), (115_846, 1000), (3000, 60), (1118, 60), (1002, 2)])
def test_simulated_counts_add_up_between_their_ends(images, classes):
    counts = natural_counts(images, classes)
    assert (len(counts), sum(counts), max(counts), min(counts)) == (classes, images, 1000, 2)
    assert counts == natural_counts(images, classes)


def test_a_long_tail_is_long():
    counts = natural_counts(437_513, 8142)
    assert 0.1 < sum(n > 100 for n in counts) / len(counts) < 0.15
    assert 0.35 < sum(n < 20 for n in counts) / len(counts) < 0.45


def test_every_second_simulated_prediction_is_right():
    predictions = simulate_predictions(2000)
    assert torch.bincount(predictions.labels).tolist() == [3] * 2000
    assert 0.4 < float((predictions.predicted == predictions.labels).double().mean()) < 0.8


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["--images", "10"], "10 images cannot be split over 8142 classes of 2 to 1000 images"),
        (["--classes", "1"], "cannot be split over 1 classes"),
        (["--repeats", "0"], "must be at least 1"),
    ],
)
def test_bad_input_is_one_line(argv, found, capsys):
    try:
        code = scale.main(argv)
    except SystemExit as exit:
        code = exit.code
    captured = capsys.readouterr()
    assert code == 2
    assert found in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_small_simulation_has_every_row(capsys):
    before = torch.get_num_threads()
    try:
        assert scale.main(SMALL) == 0
    finally:
        torch.set_num_threads(before)
    heading, _, header, _, *lines = capsys.readouterr().out.splitlines()
    assert "1 threads" in heading
    assert "simulated: 3,000 images of 60 classes, 1,000 to 2 each" in heading
    rows = [line.strip("| ").split(" | ") for line in lines]
    assert header.count("|") == lines[0].count("|")
    assert [row[0] for row in rows] == [
        "list of images",
        "evaluation",
        "torch's cross-entropy",
        *("CE", "LDAM", "VS", "LA"),
        "table of SSE-SAM, per epoch",
        "class weights of DRW, per epoch",
        "rows of the table, per step",
        *(f"groups by the rule {rule}" for rule in ("mislas", "count", "thirds")),
    ]
    assert rows[0][1] == "3,000 lines"
    assert rows[1][1] == "180 x 60 logits, 0 MiB; 3 groupings"
    assert {row[2] for row in rows} == {"2"}
    assert [row[0] for row in rows if len(row) > 4 and ".." in row[4]] == ["CE", "LDAM", "VS", "LA"]


def test_ratios_are_computed_per_round():
    row = scale.Row("LA", "8 x 3 logits", [0.2, 0.3, 0.6], [0.1, 0.1, 0.4], 3 * 2**20)
    cells = "| LA | 8 x 3 logits | 3 | 300 (200 .. 600) | 2.00 (1.50 .. 3.00) | 3 |"
    assert scale.table([row]).splitlines()[-1] == cells
