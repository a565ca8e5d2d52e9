"""The leaderboard page as HTML: valid, complete, and without anything from outside."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ltzoo.report.leaderboard import leaderboard_page
from tests.report.leaderboard_document import DOCUMENT, HOSTILE, figure, row, run

VOID = {"meta", "input", "link", "br", "wbr", "img", "hr"}
DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS = ["../README.md", "reproduction.md", "build.md", "submit.md"]


class Reader(HTMLParser):
    """Reads a page strictly: the tags must close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.ids, self.addresses = [], {}, [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute of {tag} comes twice"
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[name] for name in ("href", "src") if name in found]
        if tag not in VOID:
            self.open.append((tag, found.get("id")))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


def test_the_page_is_whole_html_that_holds_the_document_and_nothing_from_outside():
    page = leaderboard_page(DOCUMENT)
    read = Reader(page)
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    assert json.loads(read.texts["script", "data"]) == DOCUMENT
    assert read.texts["title", None] == "zoo & <co>: leaderboard"
    placeholders = page.replace(json.dumps(HOSTILE)[1:-1].replace("<", "\\u003c"), "")
    assert not re.search(r"\{\{\w+\}\}", placeholders)
    assert read.addresses == ["#results", *DOCUMENTS]
    assert all((DOCS / address).is_file() for address in DOCUMENTS)
    assert not re.search(r"@import|url\(|\bfetch\(|innerHTML", page)
    assert page == leaderboard_page(DOCUMENT)


def test_a_number_that_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        leaderboard_page(DOCUMENT | {"rows": [row("nan", runs=[run(0, figure(float("nan"), 1.0, 1.0, 1.0))])]})
