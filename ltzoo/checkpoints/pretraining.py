"""What a checkpoint's files say of the pretrained weights that its training began with: their licence and data."""

import re
from collections.abc import Mapping
from typing import Any

from ltzoo.evaluate import escape_markdown

START_STATED = "start_stated"
"""The key of `config.json`, under `run`, of what the user stated of the weights in a file: `license` and `data`."""

BEGAN_WITH = "began_with"
"""The key of `config.json`, under `run` of a second stage, of the pretrained weights that its first stage began with:
`start` (as in its recipe), `architecture`, timm's `tag`, `license`, and `start_stated`. Absent for fresh weights."""

_HUB_LICENCES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
    *(f"cc-by{terms}-4.0" for terms in ("", "-sa", "-nc", "-nd", "-nc-sa", "-nc-nd")),
}
"""Some of the licences that the Hub knows by an identifier; it refuses any other word in their place."""


def began_with(config: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a checkpoint's files say of the pretrained weights that its training began with.

    For a second stage these are the weights that its first stage began with.

    Args:
        config: the content of `config.json`.

    Returns:
        The value of `BEGAN_WITH`; empty for fresh weights, or if nothing is recorded.
    """
    start = (config.get("recipe") or {}).get("start") or {}
    run, cfg = config.get("run") or {}, config["pretrained_cfg"]
    if start.get("name") == "first_stage":
        return dict(run.get(BEGAN_WITH) or {})
    found = {"start": dict(start), "architecture": config["architecture"]}
    if start.get("name") == "pretrained":
        return found | {key: cfg[key] for key in ("tag", "license") if cfg.get(key)}
    if start.get("name") == "weights":
        return found | ({START_STATED: dict(run[START_STATED])} if run.get(START_STATED) else {})
    return {}


def licence_of(config: Mapping[str, Any], recipe: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the licence of the weights, and its name where the Hub has no identifier for it; None if it is unknown.

    It is ltzoo's, or the one that is stated of the weights that training began with.
    """
    if recipe["benchmark"] == "imagefolder":  # that of a user's own photos is unknown
        return None, None
    found = began_with(config)
    stated = found.get("license") or found.get(START_STATED, {}).get("license") if found else "apache-2.0"
    if not stated or stated.lower() in _HUB_LICENCES:
        return stated and stated.lower(), None
    return "other", re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-") or "stated"


def began_with_lines(config: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Describe the pretrained weights that training began with: licence and data, as far as they are stated."""
    found = began_with(config)
    if not found:
        return []
    if found["start"]["name"] == "pretrained":
        tag = found.get("tag") or ""
        weights, by = f"timm's weights `{found['architecture']}{f'.{tag}' if tag else ''}`", "timm"
        licence, data = found.get("license"), _data_of(tag)
    else:
        said = found.get(START_STATED) or {}
        weights, by = f"the weights `{found['start']['of']}`", "whoever trained this model"
        licence, data = said.get("license"), said.get("data")
    who = "The first stage" if recipe["start"]["name"] == "first_stage" else "Training"
    trained_on = escape_markdown(data or "data that are not stated")
    stated = f"licence {escape_markdown(licence or 'not stated')}; pretrained on {trained_on}"
    lines = [f"{who} began with {weights}: {stated}{f' (stated by {by})' if licence or data else ''}."]
    if recipe["benchmark"].startswith("cifar") and (not data or "imagenet" in data.lower()):
        condition = "" if data else "If it was ImageNet: "
        lines.append(
            f"{condition}ImageNet has images of most classes of CIFAR, so the backbone has seen these classes, and the "
            "figures are not comparable with those of models trained on CIFAR alone."
        )
    return lines


def _data_of(tag: str) -> str | None:
    """Read the pretraining data from timm's tag of weights, such as `a1_in1k`; other tags are quoted."""
    found = [f"ImageNet-{size}" for size in re.findall(r"in(1k|12k|21k|22k)", tag)]
    named = " and ".join(dict.fromkeys(found))
    return f"{named} (tag {tag})" if named else f"what timm's tag {tag} stands for" if tag else None
