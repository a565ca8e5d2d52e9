"""Download a checkpoint from the Hub into the cache, check its hashes, and repair damaged files."""

import contextlib
import logging
from pathlib import Path

from huggingface_hub import constants, snapshot_download

from ltzoo.checkpoints.files import CONFIG, MANIFEST, WEIGHTS, DamagedError, damaged_files, read_manifest
from ltzoo.errors import InputError
from ltzoo.hub_errors import explain, is_answer, with_retries

_logger = logging.getLogger(__name__)

_NEEDED = (CONFIG, WEIGHTS, MANIFEST)
"""The files that a model is loaded from."""


def fetch(repository: str, revision: str | None = None, whole: bool = False) -> Path:
    """Download a Hub repository into the cache, or find it there, and check it against its manifest.

    The client never checks what is cached. So a damaged file is downloaded again, once; if it is still damaged, it is
    removed from the cache.

    Args:
        repository: `ORG/NAME`.
        revision: branch, tag or commit.
        whole: download all files, not only those that a model is loaded from.

    Returns:
        The folder in the cache.

    Raises:
        NotFoundError: the Hub does not have the repository, or does not show it.
        InputError: it may not be read, is not a checkpoint, is damaged on the Hub, or the Hub cannot be reached and
            the cache does not have it.
    """
    folder = _download(repository, revision, whole)
    damaged = _damaged(folder, whole)
    if damaged:
        folder = _repair(repository, revision, whole, folder, damaged)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{repository} has no {name}; it is no checkpoint that ltzoo loads (only safetensors are)")
    return folder


def _repair(repository: str, revision: str | None, whole: bool, folder: Path, damaged: list[str]) -> Path:
    """Download damaged files again."""
    found = f"{repository} is damaged in the cache: {folder / damaged[0]} is not the file that {MANIFEST} lists"
    if constants.HF_HUB_OFFLINE:
        raise DamagedError(f"{found}; HF_HUB_OFFLINE is set, go online once to repair it")
    try:
        folder = _download(repository, revision, whole, force=True)
    except InputError as error:
        raise DamagedError(f"{found}; it cannot be fetched again: {error}") from error
    still = _damaged(folder, whole)
    if not still:
        _logger.warning("%s was damaged in the cache (%s) and has been fetched again", repository, ", ".join(damaged))
        return folder
    for name in still:
        # In a read-only cache the file stays, and the next call finds the damage again.
        with contextlib.suppress(OSError):
            _delete_cached(folder / name)
    raise DamagedError(
        f"{found}, and a new download failed; the Hub's copy is damaged, or the Hub is unreachable or refuses the token"
    )


def _download(repository: str, revision: str | None, whole: bool, force: bool = False) -> Path:
    def snapshot(cached: bool = False) -> Path:
        patterns = None if whole else list(_NEEDED)
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=patterns,
                force_download=force,
                local_files_only=cached,
            )
        )

    try:
        return with_retries(snapshot)
    except Exception as error:  # see hub_errors
        if not is_answer(error) and not force:
            # The client uses its cache only if there was no connection at all, not if it broke or could not be made.
            # Where the cache cannot help either, the first error is the one to report.
            with contextlib.suppress(Exception):
                return snapshot(cached=True)
        raise explain(error, repository, revision) from error


def _damaged(folder: Path, whole: bool) -> list[str]:
    """List the downloaded files that differ from the manifest; none without a manifest."""
    try:
        listed = read_manifest(folder)
    except InputError:
        return [MANIFEST]
    if listed is None:
        return []
    needed = {name for name in (CONFIG, WEIGHTS) if (folder / name).is_file()}
    return damaged_files(folder, needed | {name for name in listed if whole or name in _NEEDED})


def _delete_cached(path: Path) -> None:
    """Delete a file from the cache: the blob and the link to it."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
