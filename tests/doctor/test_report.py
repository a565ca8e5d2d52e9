"""The report: what it prints, what its file holds, and which files are refused."""

import json
from dataclasses import replace

import pytest

from ltzoo.doctor import Report, read_report
from ltzoo.doctor.report import Advice, Check, Speed
from ltzoo.errors import InputError
from tests.doctor.example import ADVICE, MACHINE, REPORT


def test_the_text_has_what_was_found():
    assert (
        REPORT.text()
        == """\
device     cpu: AMD EPYC, AVX512
memory     25.3 GB, 17.5 free
cores      2
versions   torch 2.14.1, CUDA none

precision  threads  GFLOP/s  ms per step
float32          1    91.26          431
float16          1      1.2            -  float16 cannot be used on cpu

copies in memory: 19.0 GB/s

device        ok       a sum of 2000

recommended: ltzoo train --set precision=float32 --threads 1
             hub/build.py --jobs 2 --threads 1
  precision  float32: it is the fastest

nothing is wrong; 21 s"""
    )


def test_what_is_wrong_is_counted():
    wrong = replace(REPORT, checks=(*REPORT.checks, Check("capture", "wrong", "no"), Check("jobs", "skipped", "late")))
    assert [check.name for check in wrong.wrong] == ["capture"]
    assert wrong.text().endswith("1 of 3 checks is wrong, 1 skipped; 21 s")


def test_what_was_stopped_is_counted_apart():
    late, skipped = (
        Speed("bfloat16", None, None, 1, False, "it was stopped", unfinished=True),
        Check("a", "skipped", ""),
    )
    one = replace(REPORT, speeds=(*REPORT.speeds, late), checks=(*REPORT.checks, skipped))
    assert one.text().endswith("nothing is wrong, 1 skipped; 1 measurement unfinished: --seconds 600 lets it end; 21 s")
    two = replace(one, checks=(*REPORT.checks, Check("memory", "skipped", "it was stopped", unfinished=True)))
    assert two.text().endswith("nothing is wrong; 2 measurements unfinished: --seconds 600 lets them end; 21 s")


def test_without_a_machine_there_is_still_a_report():
    broken = Report(None, None, (), (Check("machine", "wrong", "its process was killed by SIGSEGV"),), None, 3.0)
    assert broken.text() == ("machine       wrong    its process was killed by SIGSEGV\n\n1 of 1 checks is wrong; 3 s")


def test_a_gpu_without_sound_graphs_is_used_eagerly():
    advice = Advice("bfloat16", None, False, 4, None, {"capture": "off"})
    assert (
        "ltzoo train --set precision=bfloat16 --eager\n             hub/build.py --jobs 4 --eager\n"
        in replace(REPORT, advice=advice).text()
    )


def test_the_file_is_read_back_also_with_fields_of_later_versions(tmp_path):
    document = json.loads(json.dumps(REPORT.to_dict())) | {"later": 1}
    document["machine"]["later"] = 1
    (tmp_path / "doctor.json").write_text(json.dumps(document))
    assert read_report(tmp_path / "doctor.json") == REPORT


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, r"doctor.json cannot be read: No such file or directory; write it by ltzoo doctor --json"),
        ("", "is no report of ltzoo doctor"),
        ("[1]", "is no report of ltzoo doctor"),
        ("{}", r"is no report of ltzoo doctor \(it has no 'machine'\)"),
        (json.dumps(REPORT.to_dict() | {"machine": {}}), "is no report of ltzoo doctor"),
        (json.dumps(REPORT.to_dict() | {"machine": [1]}), r"\[1\] is no object with named values"),
        (json.dumps(REPORT.to_dict() | {"speeds": ["x"]}), "'x' is no object"),
        (json.dumps(REPORT.to_dict() | {"speeds": {"a": 1}}), "speeds cannot be {'a': 1}"),
        (json.dumps(REPORT.to_dict() | {"checks": None}), "checks cannot be None"),
        (json.dumps(REPORT.to_dict() | {"copy_gbs": "fast"}), "copy_gbs cannot be 'fast'"),
        (json.dumps(REPORT.to_dict() | {"seconds": [1]}), r"seconds cannot be \[1\]"),
        (json.dumps(REPORT.to_dict() | {"checks": [{"name": "a", "outcome": "fine", "found": ""}]}), "be 'fine'"),
        (json.dumps(REPORT.to_dict() | {"checks": [{"name": ["a"], "outcome": "ok", "found": ""}]}), "be \\['a'\\]"),
        (json.dumps(REPORT.to_dict() | {"machine": {**vars(MACHINE), "versions": {"a": 1}}}), "versions cannot be"),
        *(
            (json.dumps(REPORT.to_dict() | {"advice": {**vars(ADVICE), name: value}}), f"{name} cannot be {value!r}")
            for name in ("jobs", "threads", "build_threads")
            for value in ("many", 0, -1, True, 1.5)
        ),
        (json.dumps(REPORT.to_dict() | {"advice": {**vars(ADVICE), "precision": "int4"}}), "precision 'int4' is"),
        ('{"machine": ' + "[" * 100_000, "is no report of ltzoo doctor"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, match):
    path = tmp_path / "doctor.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=match) as caught:
        read_report(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
