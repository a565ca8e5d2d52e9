"""Find a checkpoint by name: in folders, in the package and on the Hub, in this order; list what there is."""

import logging
import os
import re
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from ltzoo.checkpoints.download import fetch
from ltzoo.checkpoints.files import CONFIG, WEIGHTS
from ltzoo.errors import InputError
from ltzoo.hub_errors import NotFoundError, explained

_logger = logging.getLogger(__name__)

ORGANISATION = "ltzoo"
"""The Hub organisation that is searched last."""

PACKAGED = Path(__file__).parents[1] / "zoo"
"""The checkpoints that come with the package; in a checkout, a link to hub/zoo."""


def search_path(hub: str | None = None) -> list[Path | str]:
    """List where checkpoints are searched: folders as paths, Hub users and organisations as text.

    In order: `hub`, the variable LTZOO_HUB, the checkpoints in the package, the organisation `ltzoo`.

    Raises:
        InputError: a name can only be a folder's, and there is no such folder.
    """
    named = [_location(name) for name in (hub, os.environ.get("LTZOO_HUB")) if name]
    return [*named, *([PACKAGED] if PACKAGED.is_dir() else []), ORGANISATION]


def _location(name: str) -> Path | str:
    if Path(name).is_dir():
        return Path(name)
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        return name
    raise InputError(f"there is no folder {name}, and it cannot be the name of a Hub user; check the path")


def find_checkpoint(name: str, hub: str | None = None, whole: bool = False) -> Path:
    """Find a checkpoint by name, in the order of `search_path`.

    The next location is tried only if the one before does not have the name.

    Args:
        name: a recipe's name, or one with a seed (`NAME.seed1`).
        hub: a folder, or a Hub user or organisation, to search first.
        whole: from the Hub, download all files, not only those that a model is loaded from.

    Raises:
        InputError: no location has it, or one cannot be asked; all that were tried are named.
    """
    tried = []
    for location in search_path(hub):
        try:
            found = _find_in(location, name, whole)
        except NotFoundError as error:
            tried.append(str(error))
            continue
        except InputError as error:
            # This location may have the name; weights from the next one could be the wrong ones.
            tried.append(str(error))
            break
        if hub and tried:
            _logger.warning("%s; %s is taken from %s", tried[0], name, location)
        return found
    raise InputError(
        f"no checkpoint of {name}: {'; '.join(tried)}; train it and use local-dir:OUTPUT/NAME/seedN/checkpoint"
    )


def _find_in(location: Path | str, name: str, whole: bool) -> Path:
    if isinstance(location, str):
        return fetch(f"{location}/{name}", whole=whole)
    if not (location / name / CONFIG).is_file():
        raise NotFoundError(f"{location} has no checkpoint of that name")
    return location / name


def list_folder(folder: Path) -> list[str]:
    """List the names of the checkpoints in a folder, in alphabetical order."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{CONFIG}"))


def list_checkpoints(hub: str | None = None) -> dict[str, str]:
    """List the checkpoints that can be loaded by name.

    Args:
        hub: a folder, or a Hub user or organisation, to search first.

    Returns:
        Name to where `find_checkpoint` would take it from: a folder, or `hf-hub:ORG/NAME`.
    """
    found: dict[str, str] = {}
    for location in search_path(hub):
        if isinstance(location, Path):
            available = {name: str(location / name) for name in list_folder(location)}
        else:
            available = {name: f"hf-hub:{location}/{name}" for name in _repositories(location)}
        found = available | found
    return found


def _repositories(owner: str) -> list[str]:
    """List the model repositories of a Hub user or organisation; the cached ones if the Hub cannot be asked."""
    url, names = f"{constants.ENDPOINT}/api/models?author={quote(owner)}&limit=1000", []
    try:
        with explained(owner):
            if constants.HF_HUB_OFFLINE:  # before a client is made, which a proxy can forbid
                raise OfflineModeIsEnabled
            # Not HfApi.list_models, which retries for 23 seconds without a network.
            while url:
                answer = get_session().get(url, headers=build_hf_headers(), timeout=10)
                hf_raise_for_status(answer)
                names += [repository["id"].split("/")[1] for repository in answer.json()]
                url = answer.links.get("next", {}).get("url", "")
            return sorted(names)
    except InputError as error:
        _logger.warning("the Hub cannot list the models of %s; only cached ones are listed", error)
    cached = Path(constants.HF_HUB_CACHE).glob(f"models--{owner}--*/snapshots/*/{WEIGHTS}")
    return sorted({path.parents[2].name.split("--")[2] for path in cached})
