"""From the Hub to the cache: whole and as it was written, or a line that says why not."""

import contextlib
import logging
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ltzoo.errors import InputError, first_line
from ltzoo.hub.layout import CONFIG, MANIFEST, WEIGHTS
from ltzoo.hub.manifest import DamagedError, damaged_files, read_manifest
from ltzoo.hub.retry import with_retries

_logger = logging.getLogger(__name__)

_TO_LOAD = (CONFIG, WEIGHTS, MANIFEST)


class NotThereError(InputError):
    """A checkpoint that a place does not have, or does not show."""


def fetch(repository: str, revision: str | None = None, whole: bool = False) -> Path:
    """Fetch a Hub repository into the cache, or find it there, and hold it against its manifest.

    The client would serve a damaged file from its cache for ever. So what is damaged is fetched afresh, once; if it is
    still damaged, it is taken out of the cache.

    Args:
        repository: `ORG/NAME`.
        revision: branch, tag or commit.
        whole: fetch all its files, not only those that a model is loaded from.

    Returns:
        The folder in the cache.

    Raises:
        NotThereError: the Hub does not have it, or does not show it.
        InputError: it may not be read, is no checkpoint, is damaged on the Hub, or cannot be reached and is not cached.
    """
    folder = _download(repository, revision, whole)
    damaged = _damaged(folder, whole)
    if damaged:
        folder = _mend(repository, revision, whole, folder, damaged)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{repository} has no {name}; it is no checkpoint that ltzoo loads (only safetensors are)")
    return folder


def _mend(repository: str, revision: str | None, whole: bool, folder: Path, damaged: list[str]) -> Path:
    """Fetch damaged files of the cache afresh."""
    found = f"{repository} is damaged in the cache: {folder / damaged[0]} is not the file that {MANIFEST} lists"
    if constants.HF_HUB_OFFLINE:
        raise DamagedError(f"{found}; HF_HUB_OFFLINE is set, go online once to mend it")
    try:
        folder = _download(repository, revision, whole, afresh=True)
    except InputError as error:
        raise DamagedError(f"{found}; it cannot be fetched again: {error}") from error
    still = _damaged(folder, whole)
    if not still:
        _logger.warning("%s was damaged in the cache (%s) and has been fetched again", repository, ", ".join(damaged))
        return folder
    for name in still:
        # A cache that cannot be written keeps it; whoever reads it here is warned again.
        with contextlib.suppress(OSError):
            _forget(folder / name)
    raise DamagedError(
        f"{found}, and a fresh download is not to be had; the Hub's copy is damaged, or it is out of reach or refuses "
        "the token"
    )


def _download(repository: str, revision: str | None, whole: bool, afresh: bool = False) -> Path:
    def snapshot(cached: bool = False) -> Path:
        patterns = None if whole else list(_TO_LOAD)
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=patterns,
                force_download=afresh,
                local_files_only=cached,
            )
        )

    try:
        return with_retries(snapshot)
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        # A ValueError is a bad name, or a forced download that failed.
        broken = isinstance(error, HTTPError | RuntimeError) and not isinstance(error, HfHubHTTPError)
        if broken and not afresh:
            # The client looks into its cache only where there was no connection at all, not where it broke.
            with contextlib.suppress(LocalEntryNotFoundError):
                return snapshot(cached=True)
        raise explain(error, repository, revision) from error


def explain(error: BaseException, repository: str, revision: str | None = None) -> InputError:
    """Say in a line what the Hub's client met with.

    Args:
        error: what it raised.
        repository: `ORG/NAME`.
        revision: branch, tag or commit.
    """
    answer = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    status = answer.response.status_code if isinstance(answer, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return InputError(f"{repository} is gated; ask for access on its page, and log in with `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return NotThereError(f"{repository} is not on the Hub, or is private and the token may not read it")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{repository} has no revision {revision}; its page on the Hub lists branches and tags")
    if isinstance(error, HFValidationError):
        return InputError(f"{repository!r} is no name of a Hub repository; write user/name")
    if status == 401:
        return InputError(f"{repository}: the Hub refuses the token (401); see HF_TOKEN, or `hf auth login`")
    if status == 403:
        return InputError(f"the token may not do this to {repository} ({first_line(error)})")
    if isinstance(error, OfflineModeIsEnabled):
        return InputError(f"{repository}: HF_HUB_OFFLINE is set, so the Hub is not asked")
    if isinstance(error, LocalEntryNotFoundError):
        reason = first_line(answer or error)
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"the Hub cannot be reached ({reason})"
        part = "not whole" if isinstance(error, IncompleteSnapshotError) else "not"
        where = f"{repository}@{revision}" if revision else repository
        return InputError(f"{where} is {part} in the cache {constants.HF_HUB_CACHE}, and {why}")
    if isinstance(error, HTTPError) and status is None:
        return InputError(f"{repository}: the Hub cannot be reached ({first_line(error)})")
    return InputError(f"{repository}: the Hub's client failed ({first_line(error)})")


def _damaged(folder: Path, whole: bool) -> list[str]:
    """Name what was fetched and is not as the manifest has it; nothing where there is no manifest."""
    try:
        listed = read_manifest(folder)
    except InputError:
        return [MANIFEST]
    if listed is None:
        return []
    needed = {name for name in (CONFIG, WEIGHTS) if (folder / name).is_file()}
    return damaged_files(folder, needed | {name for name in listed if whole or name in _TO_LOAD})


def _forget(path: Path) -> None:
    """Take a file out of the cache: the blob and the link to it."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
