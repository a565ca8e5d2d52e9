"""Where checkpoints are looked for by name, and in which order."""

import logging
import os
import re
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import constants, get_session
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from ltzoo.errors import InputError, first_line
from ltzoo.hub.fetch import NotThereError, fetch
from ltzoo.hub.layout import CONFIG, WEIGHTS

_logger = logging.getLogger(__name__)

ORGANISATION = "ltzoo"
"""The Hub organisation that is asked last."""

PACKAGED = Path(__file__).parents[1] / "zoo"
"""The checkpoints that come with the package; in a checkout, a link to hub/zoo."""


def places(hub: str | None = None) -> list[Path | str]:
    """List where checkpoints are looked for: folders as paths, Hub users and organisations as text.

    `hub`, the variable LTZOO_HUB, what comes with the package, the organisation `ltzoo`.

    Raises:
        InputError: what is named can only be a folder, and is none.
    """
    named = [_place(place) for place in (hub, os.environ.get("LTZOO_HUB")) if place]
    return [*named, *([PACKAGED] if PACKAGED.is_dir() else []), ORGANISATION]


def _place(name: str) -> Path | str:
    if Path(name).is_dir():
        return Path(name)
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        return name
    raise InputError(f"there is no folder {name}, and no Hub user or organisation is called so; check the path")


def find_checkpoint(name: str, hub: str | None = None, whole: bool = False) -> Path:
    """Find the checkpoint of a name, in the order that `places` gives.

    A folder that lacks the name is passed over, and so is the Hub, which is asked where no folder stands.

    Args:
        name: a recipe's name, or one with a seed (`NAME.seed1`).
        hub: a folder, or a Hub user or organisation.
        whole: from the Hub, fetch all its files, not only those that a model is loaded from.

    Raises:
        InputError: no place has it; each is named.
    """
    tried = []
    for place in places(hub):
        try:
            found = _look(place, name, whole)
        except NotThereError as error:
            tried.append(str(error))
            continue
        except InputError as error:
            # The place may have the name; another place's weights in its stead would be the wrong ones.
            tried.append(str(error))
            break
        if hub and tried:
            _logger.warning("%s; %s is taken from %s", tried[0], name, place)
        return found
    raise InputError(
        f"no checkpoint of {name}: {'; '.join(tried)}; train it and use local-dir:OUTPUT/NAME/seedN/checkpoint"
    )


def _look(place: Path | str, name: str, whole: bool) -> Path:
    """Find a checkpoint at a place."""
    if isinstance(place, str):
        return fetch(f"{place}/{name}", whole=whole)
    if not (place / name / CONFIG).is_file():
        raise NotThereError(f"{place} has none of that name")
    return place / name


def list_folder(place: Path) -> list[str]:
    """Name the checkpoints that a folder holds, in alphabetical order."""
    return sorted(path.parent.name for path in place.glob(f"[!.]*/{CONFIG}"))


def list_checkpoints(hub: str | None = None) -> dict[str, str]:
    """List the checkpoints that can be had by name, and where each would come from: a folder, or `hf-hub:ORG/NAME`.

    Of a name that several places have, the first is listed, as `find_checkpoint` would take it.

    Args:
        hub: a folder, or a Hub user or organisation.
    """
    found: dict[str, str] = {}
    for place in places(hub):
        if isinstance(place, Path):
            there = {name: str(place / name) for name in list_folder(place)}
        else:
            there = {name: f"hf-hub:{place}/{name}" for name in _repositories(place)}
        found = there | found
    return found


def _repositories(owner: str) -> list[str]:
    """Name the model repositories of a Hub user or organisation; those in the cache where the Hub cannot be asked."""
    url, names = f"{constants.ENDPOINT}/api/models?author={quote(owner)}&limit=1000", []
    try:
        # Not HfApi.list_models: without a network, it would try for 23 seconds.
        while url:
            answer = get_session().get(url, headers=build_hf_headers(), timeout=10)
            hf_raise_for_status(answer)
            names += [repository["id"].split("/")[1] for repository in answer.json()]
            url = answer.links.get("next", {}).get("url", "")
        return sorted(names)
    except (HTTPError, OSError, ValueError, TypeError, KeyError) as error:  # the last three: no answer of a Hub
        reason = first_line(error)
        _logger.warning("the Hub cannot list the models of %s (%s); only cached ones are listed", owner, reason)
    cached = Path(constants.HF_HUB_CACHE).glob(f"models--{owner}--*/snapshots/*/{WEIGHTS}")
    return sorted({path.parents[2].name.split("--")[2] for path in cached})
