"""The summarize command: runs of one recipe become one row."""

import json

from ltzoo.cli.summarize import main as summarize_main


def test_summarize_gathers_runs(finished_run, tmp_path, capsys):
    file = tmp_path / "summary.json"
    assert summarize_main([str(finished_run.path), "--json", str(file)]) == 0
    (record,) = json.loads(file.read_text())
    last = json.loads(finished_run.metrics.read_text())["last"]
    assert record["n"] == 1
    assert record["overall"] == {"mean": last["overall"], "std": None}
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| resnet20_digitslt_ce_sgd with schedule.epochs=2, ")  # overrides: not the recipe's figure
    assert f"| {last['overall']:.1f} |" in row


def test_summarize_shows_the_groups_that_are_asked_for(finished_run, tmp_path, capsys):
    file = tmp_path / "summary.json"
    groups = json.loads(finished_run.metrics.read_text())["last"]["groups"]
    assert summarize_main([str(finished_run.path), "--json", str(file)]) == 0
    assert json.loads(file.read_text())[0]["groups"] == "mislas"
    assert summarize_main([str(finished_run.path), "--groups", "thirds", "--json", str(file)]) == 0
    (record,) = json.loads(file.read_text())
    assert record["groups"] == "thirds"
    assert record["head"]["mean"] == groups["thirds"]["head"] != groups["mislas"]["head"]
    assert f"| {groups['thirds']['head']:.1f} |" in capsys.readouterr().out.splitlines()[-1]


def test_summarize_refuses_groups_that_a_run_lacks(finished_run, capsys):
    assert summarize_main([str(finished_run.path), "--groups", "half"]) == 2
    captured = capsys.readouterr()
    assert "no figures by the grouping rule 'half'; there are mislas, count, thirds\n" in captured.err
    assert captured.out == ""


def test_summarize_refuses_what_is_no_run(tmp_path, capsys):
    assert summarize_main([str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
