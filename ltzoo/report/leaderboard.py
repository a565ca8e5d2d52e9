"""The leaderboard: one HTML file, with all that it shows inside it, that wants neither a server nor a network."""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEMPLATE = Path(__file__).with_name("leaderboard.html")
_PLACEHOLDER = re.compile(r"\{\{(title|data)\}\}")


def leaderboard_page(document: Mapping[str, Any]) -> str:
    """Make the page.

    Args:
        document: what it shows, as plain data; accuracies in per cent, None where a cell stays blank. `title`;
            `columns` (overall and the groups); `rules` (evaluation rules by key, `last` is shown first);
            `benchmarks` by name, each with `title`, `class_counts`, `class_names` and `groupings` (by rule, the classes
            of each group); `rows`, one a model, each with what is published or claimed elsewhere, and its `runs`.

    Returns:
        The page's text. Equal documents give equal pages.

    Raises:
        ValueError: a number of the document is not finite, which JSON has no word for.
    """
    # A browser reads `<!--`, `<script` and `</script` even within JSON; what is not ASCII, U+2028 among it, is escaped.
    data = json.dumps(document, separators=(",", ":"), sort_keys=False, allow_nan=False).replace("<", "\\u003c")
    values = {"title": html.escape(str(document["title"])), "data": data}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], _TEMPLATE.read_text(encoding="utf-8"))
