"""hub/verify.py: its report, its exit code, and the comparison with results/."""

from dataclasses import replace

import publish
import verify
from ltzoo.checkpoints import find
from ltzoo.report import result_from_checkpoint, write_result
from tests.checkpoints.changes import NAME, flip_bit
from tests.report.results import result


def test_verify_says_what_holds_and_exits_with_1_where_something_differs(checkpoint, capsys):
    model = f"local-dir:{checkpoint}"
    assert verify.main([model, "--device", "cpu"]) == 0
    assert "hashes, card and example match; accuracy differs by 0.0" in capsys.readouterr().out
    flip_bit(checkpoint / "curves.png")
    assert verify.main([model, "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "DIFFERS: curves.png is not the file that SHA256SUMS lists" in shown
    assert "1 checkpoint verified, 1 different" in shown
    assert verify.main([NAME, "--hub", str(checkpoint.parents[1])]) == 2


def test_verify_fetches_whole_checkpoints_from_the_hub(checkpoint, small_hub, capsys):
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 0
    assert verify.main([f"hf-hub:zoo/{NAME}", "--device", "cpu"]) == 0
    assert "accuracy differs by 0.0" in capsys.readouterr().out


def test_the_package_and_its_results_are_held_against_each_other(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verify, "PACKAGED", checkpoint.parent)
    monkeypatch.setattr(find, "PACKAGED", checkpoint.parent)
    results, arguments = tmp_path / "results", ["--device", "cpu", "--results", str(tmp_path / "results")]
    measured = replace(result_from_checkpoint(checkpoint), weights="zoo")
    write_result(results, measured)
    assert verify.main(arguments) == 0
    capsys.readouterr()
    write_result(results, replace(measured, subset_sha256="another"))
    write_result(results, replace(measured, seed=1, weights=None))
    write_result(results, result("resnet20_digitslt_ce_sam", weights="zoo"))
    assert verify.main(arguments) == 1
    shown = capsys.readouterr().out
    assert f"{NAME}: DIFFERS: results/{NAME}/seed0.json differs from the checkpoint" in shown
    assert (
        "resnet20_digitslt_ce_sam: DIFFERS: results/resnet20_digitslt_ce_sam/seed0.json names a checkpoint in" in shown
    )
    assert "2 checkpoints verified, 2 different" in shown
    assert verify.main([NAME, *arguments]) == 1
    assert "1 checkpoint verified, 1 different" in capsys.readouterr().out
