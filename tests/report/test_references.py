"""The table of cited works: every work once, readable, and beside the words that it defines."""

from ltzoo.recipes import CITATIONS
from ltzoo.report import references_table


def test_every_work_has_a_line_without_marks_of_bibtex():
    _, _, *lines = references_table().splitlines()
    assert [line.split("`")[1] for line in lines] == sorted(CITATIONS)
    assert not any(mark in line for line in lines for mark in "{}\\")


def test_a_line_names_authors_title_place_year_and_words():
    lines = references_table().splitlines()
    robust = "Samuel and Chechik: Distributional Robustness Loss for Long-tail Learning."
    place = "IEEE/CVF International Conference on Computer Vision, 2021"
    assert f"| `samuel2021` | {robust} {place} | `drolt` |" in lines
    (menon,) = [line for line in lines if "menon2021" in line]
    assert menon.startswith("| `menon2021` | Menon et al.: Long-tail learning via") and menon.endswith("| `la` |")
    (jordan,) = [line for line in lines if "`jordan2024`" in line]
    assert "Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU. arXiv 2404.00498, 2024" in jordan
