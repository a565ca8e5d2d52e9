"""The table of the works that recipes cite, by key."""

import re

from ltzoo.evaluate import markdown_table
from ltzoo.recipes import CITATIONS
from ltzoo.recipes.citations import METHOD_CITATIONS


def references_table() -> str:
    """Format each cited work: its key, authors, title and place, and the words of recipes that it defines."""
    rows = []
    for key in sorted(CITATIONS):
        fields = _fields(CITATIONS[key])
        defined = [word for word, cited in METHOD_CITATIONS.items() if cited == key]
        # `la_long` and `adapt_la` have the loss `la`.
        words = [word for word in defined if not any(part in word.split("_") for part in defined if part != word)]
        work = f"{_authors(fields['author'])}: {fields['title']}. {_place(fields)}, {fields['year']}"
        rows.append([f"`{key}`", work, ", ".join(f"`{word}`" for word in words)])
    return markdown_table(["key", "work", "in names of recipes"], rows)


def _fields(entry: str) -> dict[str, str]:
    """Read the fields of a BibTeX entry, without braces and line breaks."""
    found = re.findall(r"^  (\w+) *= \{(.*?)\}(?:,|\n\})", entry, re.DOTALL | re.MULTILINE)
    return {name: _plain(value) for name, value in found}


def _plain(text: str) -> str:
    text = text.replace(r"{\'a}", "á").replace(r"\%", "%")
    return " ".join(text.replace("{", "").replace("}", "").split())


def _authors(text: str) -> str:
    """Name all authors of up to three, else the first one."""
    names = [name.partition(",")[0] for name in text.split(" and ")]
    if len(names) > 3:
        return f"{names[0]} et al."
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _place(fields: dict[str, str]) -> str:
    if "eprint" in fields:
        return f"arXiv {fields['eprint']}"
    return fields.get("booktitle") or fields.get("journal") or fields["url"]
