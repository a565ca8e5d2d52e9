import json

import pytest

from ltzoo.__main__ import main

NAME = "resnet20_digitslt_ce_sgd"
QUICK = ["--probes", "1", "--max-steps", "3"]


def landscape(*words):
    return main(["landscape", *words])


def test_it_measures_draws_and_prints_a_table(tmp_path, capsys):
    output = tmp_path / "out"
    words = ["--model", NAME, "resnet20_digitslt_ce_sam", "--classes", "9", "--output", str(output), *QUICK]
    assert landscape(*words) == 0
    printed = capsys.readouterr().out
    assert printed.count(NAME) == 1 and "not converged" in printed
    assert f"{output}: landscape.json" in printed and (output / "density.png").stat().st_size > 10_000
    assert len(json.loads((output / "landscape.json").read_text())["spectra"]) == 2
    assert landscape(*words) == 2
    assert "add --resume" in capsys.readouterr().err
    assert landscape(*words, "--resume") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to analyse"),
        (["--model", "resnet20_digitslt_ce_sgm"], "nearest are"),
        (["--model", NAME, "--classes", "10"], "no class or group '10'"),
        (["--model", NAME, "--tolerance", "2"], "tolerance must lie between 0 and 1"),
        (["--model", NAME, "--slice", "1", "--slice-points", "4"], "odd number of points"),
        (["--model", NAME, "--classes", ","], "no class"),
        (["--model", NAME, "--slice-points", "5"], "add --slice"),
        (["--model", NAME, "--slice", "1", "--augment"], "leave --augment out"),
        (["--checkpoints", "nowhere"], "no recipe"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(tmp_path, capsys, words, said):
    assert landscape(*words, "--output", str(tmp_path / "out")) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert said in last
    assert not (tmp_path / "out").exists()
