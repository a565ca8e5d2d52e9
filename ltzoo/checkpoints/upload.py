"""Upload a checkpoint to the Hub: the changed files, in one commit, tagged with the next version."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from torch import nn

from ltzoo.atomic_write import WriteError, write_errors
from ltzoo.checkpoints.card import write_card
from ltzoo.checkpoints.config import read_config
from ltzoo.checkpoints.files import CONFIG, FILES, MANIFEST, METRICS, damaged_files, read_manifest, write_manifest
from ltzoo.checkpoints.save import save_checkpoint
from ltzoo.errors import InputError, first_line
from ltzoo.hub_errors import explained, with_retries

_MESSAGE = "Publish with ltzoo"
"""The title of ltzoo's commits, which tells them from other commits."""


@dataclass(frozen=True)
class Publication:
    """What was uploaded, or would be.

    Attributes:
        repository: `ORG/NAME`.
        sent: the files that differed from those on the Hub.
        version: the tag of the current state, `v1`, `v2`, ...; None for a dry run.
    """

    repository: str
    sent: tuple[str, ...]
    version: str | None


def push_to_hub(
    model: nn.Module | Path | str, repo_id: str, *, private: bool = False, model_args: dict[str, Any] | None = None
) -> Publication:
    """Publish a model or a checkpoint of your own on the Hub.

    Unchanged files are not sent again, so a failed upload can be repeated and continues where it stopped.

    Args:
        model: a timm model, the folder of a checkpoint, or that of a finished run.
        repo_id: `USER/NAME`; created if it does not exist.
        private: create it as private.
        model_args: arguments that `timm.create_model` needs to build the model again; a checkpoint has its own.

    Raises:
        InputError: it is not a timm model or not an intact checkpoint, `model_args` are given for a checkpoint, or the
            Hub refuses.
    """
    if isinstance(model, nn.Module):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "checkpoint"
            save_checkpoint(folder, model, model_args)
            return push_checkpoint(folder, repo_id, private=private)
    folder = Path(model)
    if model_args is not None:
        raise InputError(
            f"model_args are for models; a folder such as {folder} has its own in {CONFIG}; leave them out"
        )
    inner = folder / "checkpoint"
    return push_checkpoint(inner if inner.is_dir() else folder, repo_id, private=private)


def push_checkpoint(folder: Path, repository: str, *, private: bool = False, dry_run: bool = False) -> Publication:
    """Publish a checkpoint: its files unchanged, except that the card names the repository.

    Args:
        folder: the checkpoint.
        repository: `ORG/NAME`; created if it does not exist.
        private: create it as private.
        dry_run: only find out what would be sent.

    Raises:
        InputError: the folder is not a checkpoint or differs from its manifest, or the Hub refuses or is unreachable.
    """
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", repository):
        raise InputError(f"{repository!r} is not a valid name of a Hub repository; write user/name")
    _check_intact(folder)
    api = HfApi()
    with _copy_with_card(folder, f"hf-hub:{repository}") as copy, explained(repository):
        if dry_run:
            changed = with_retries(lambda: _compare(api, copy, repository))[0]
            return Publication(repository, tuple(changed), None)
        with_retries(lambda: api.create_repo(repository, private=private or None, exist_ok=True))
        return _send(api, copy, repository, private)


def add_to_collection(organisation: str, names: Sequence[str], title: str, private: bool = False) -> str:
    """Add repositories to a Hub collection, which is created if it does not exist.

    Args:
        organisation: the Hub user or organisation that owns them.
        names: the names of the repositories.
        title: the title of the collection.
        private: create it as private.

    Returns:
        The collection's slug.

    Raises:
        InputError: the Hub refuses or is unreachable.
    """
    api = HfApi()
    with explained(organisation):
        collection = with_retries(
            lambda: api.create_collection(title, namespace=organisation, private=private, exists_ok=True)
        )
        for name in names:
            _add_item(api, collection.slug, f"{organisation}/{name}")
    return collection.slug


def _add_item(api: HfApi, slug: str, repository: str) -> None:
    with_retries(lambda: api.add_collection_item(slug, repository, item_type="model", exists_ok=True))


def _check_intact(folder: Path) -> None:
    read_config(folder)
    if read_manifest(folder) is None:
        raise InputError(f"{folder} has no {MANIFEST}; write the checkpoint with ltzoo.push_to_hub(model, ...)")
    damaged = damaged_files(folder)
    if damaged:
        raise InputError(
            f"{folder / damaged[0]} is not what {MANIFEST} lists; restore it, or write the checkpoint again"
        )


@contextmanager
def _copy_with_card(folder: Path, address: str) -> Iterator[Path]:
    """Make a temporary copy of a checkpoint whose card names an address."""
    with tempfile.TemporaryDirectory() as temporary:
        copied = Path(temporary) / "checkpoint"
        with write_errors(copied):
            shutil.copytree(folder, copied)
        try:
            write_card(copied, address)
        except WriteError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"{CONFIG} or {METRICS} lacks what a run writes ({first_line(error)})"
            raise InputError(f"{folder}: {reason}") from error
        write_manifest(copied)
        yield copied


def _send(api: HfApi, folder: Path, repository: str, private: bool) -> Publication:
    """Commit the changed files and tag the commit.

    A retry compares again first: the answer to a commit that succeeded may have been lost.
    """
    sent: list[str] = []

    def commit() -> None:
        head = api.model_info(repository)
        if private and not head.private:
            raise InputError(f"{repository} is public already; make it private on its page, or leave --private out")
        changed, stale = _compare(api, folder, repository)
        sent.extend(name for name in changed if name not in sent)
        files: list[CommitOperationAdd | CommitOperationDelete]
        files = [CommitOperationAdd(name, folder / name) for name in changed]
        files += [CommitOperationDelete(name) for name in stale]
        if files:
            api.create_commit(repository, files, commit_message=_MESSAGE, parent_commit=head.sha)

    with_retries(commit)
    return Publication(repository, tuple(sent), with_retries(lambda: _tag(api, repository)))


def _compare(api: HfApi, folder: Path, repository: str) -> tuple[list[str], list[str]]:
    """List the files that are new or changed, and those of an earlier checkpoint to delete."""
    names = [*(read_manifest(folder) or {}), MANIFEST]
    try:
        on_hub = {
            entry.path: entry for entry in api.list_repo_tree(repository, recursive=True) if isinstance(entry, RepoFile)
        }
    except RepositoryNotFoundError:
        return names, []
    changed = [name for name in names if name not in on_hub or not _same(folder / name, on_hub[name])]
    return changed, [name for name in FILES if name in on_hub and name not in names]


def _same(path: Path, entry: RepoFile) -> bool:
    """Compare a file with one on the Hub by hash: SHA-256 for large files, git's SHA-1 for small ones."""
    content = path.read_bytes()
    if entry.lfs is not None:
        return hashlib.sha256(content).hexdigest() == entry.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id


def _tag(api: HfApi, repository: str) -> str:
    """Tag ltzoo's last commit with the next version unless it has a version already. A tag never moves."""
    commits = api.list_repo_commits(repository)
    commit = next((commit for commit in commits if commit.title == _MESSAGE), commits[0]).commit_id
    tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repository).tags}
    versions = {int(name[1:]): target for name, target in tags.items() if re.fullmatch(r"v[0-9]+", name)}
    for number, target in versions.items():
        if target == commit:
            return f"v{number}"
    version = f"v{max(versions, default=0) + 1}"
    api.create_tag(repository, tag=version, revision=commit)
    return version
