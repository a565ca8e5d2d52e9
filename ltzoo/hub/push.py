"""From a checkpoint to the Hub: what changed, in one commit, under the next version's tag."""

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
from huggingface_hub.errors import HTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from torch import nn

from ltzoo.errors import InputError, first_line
from ltzoo.hub.card import write_card
from ltzoo.hub.config import read_config
from ltzoo.hub.fetch import explain
from ltzoo.hub.layout import CONFIG, FILES, MANIFEST, METRICS
from ltzoo.hub.manifest import damaged_files, read_manifest, write_manifest
from ltzoo.hub.retry import with_retries
from ltzoo.hub.save import save_checkpoint

_MESSAGE = "Publish with ltzoo"
"""The title of our commits, by which they are told from other people's."""


@dataclass(frozen=True)
class Publication:
    """What a push did, or would do.

    Attributes:
        repository: `ORG/NAME`.
        sent: the files that differed from those on the Hub.
        version: the tag of what is there now, `v1` and counting; None if nothing was sent for real.
    """

    repository: str
    sent: tuple[str, ...]
    version: str | None


def push_to_hub(
    model: nn.Module | Path | str, repo_id: str, *, private: bool = False, model_args: dict[str, Any] | None = None
) -> Publication:
    """Publish a model or a checkpoint of your own on the Hub.

    Files that are there already are not sent again, so a push that failed is repeated, and goes on where it stopped.

    Args:
        model: a timm model, a checkpoint's folder or a finished run's.
        repo_id: `USER/NAME`; made if it is not there.
        private: make it private.
        model_args: what `timm.create_model` must be told to build the model, where timm does not know itself.

    Raises:
        InputError: it is no timm model or no sound checkpoint, or the Hub refuses.
    """
    if isinstance(model, nn.Module):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "checkpoint"
            save_checkpoint(folder, model, model_args)
            return push_checkpoint(folder, repo_id, private=private)
    folder = Path(model)
    inner = folder / "checkpoint"
    return push_checkpoint(inner if inner.is_dir() else folder, repo_id, private=private)


def push_checkpoint(folder: Path, repository: str, *, private: bool = False, dry_run: bool = False) -> Publication:
    """Publish a checkpoint: its files as they are, and the card with the repository's address.

    Args:
        folder: the checkpoint.
        repository: `ORG/NAME`; made if it is not there.
        private: make it private.
        dry_run: only find out what would be sent.

    Raises:
        InputError: the folder is no checkpoint or differs from its manifest, or the Hub refuses or cannot be reached.
    """
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", repository):
        raise InputError(f"{repository!r} is no name of a Hub repository; write user/name")
    _check_sound(folder)
    api = HfApi()
    try:
        with _addressed(folder, f"hf-hub:{repository}") as addressed:
            if dry_run:
                changed = with_retries(lambda: _compare(api, addressed, repository))[0]
                return Publication(repository, tuple(changed), None)
            with_retries(lambda: api.create_repo(repository, private=private or None, exist_ok=True))
            return _send(api, addressed, repository, private)
    except InputError:
        raise
    except (HTTPError, OSError, ValueError) as error:
        raise explain(error, repository) from error
    except RuntimeError as error:  # the client wraps what befell a large file
        raise explain(error.__cause__ or error, repository) from error


def gather(organisation: str, names: Sequence[str], title: str, private: bool = False) -> str:
    """Gather repositories in a Hub collection, which is made if it is not there.

    Args:
        organisation: the Hub user or organisation that has them.
        names: the repositories.
        title: the collection's.
        private: make it private.

    Returns:
        The collection's slug.

    Raises:
        InputError: the Hub refuses or cannot be reached.
    """
    api = HfApi()
    try:
        collection = with_retries(
            lambda: api.create_collection(title, namespace=organisation, private=private, exists_ok=True)
        )
        for name in names:
            _add_to_collection(api, collection.slug, f"{organisation}/{name}")
    except (HTTPError, OSError) as error:
        raise explain(error, organisation) from error
    return collection.slug


def _add_to_collection(api: HfApi, slug: str, repository: str) -> None:
    with_retries(lambda: api.add_collection_item(slug, repository, item_type="model", exists_ok=True))


def _check_sound(folder: Path) -> None:
    read_config(folder)
    if read_manifest(folder) is None:
        raise InputError(f"{folder} has no {MANIFEST}; write the checkpoint with ltzoo.push_to_hub(model, ...)")
    damaged = damaged_files(folder)
    if damaged:
        raise InputError(
            f"{folder / damaged[0]} is not what {MANIFEST} lists; restore it, or write the checkpoint again"
        )


@contextmanager
def _addressed(folder: Path, address: str) -> Iterator[Path]:
    """Give a copy of a checkpoint whose card names its address."""
    with tempfile.TemporaryDirectory() as temporary:
        copied = Path(shutil.copytree(folder, Path(temporary) / "checkpoint"))
        try:
            write_card(copied, address)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"{CONFIG} or {METRICS} lacks what a run writes ({first_line(error)})"
            raise InputError(f"{folder}: {reason}") from error
        write_manifest(copied)
        yield copied


def _send(api: HfApi, folder: Path, repository: str, private: bool) -> Publication:
    """Commit what changed and tag it; repeated as a whole, since a commit whose answer was lost may have been made."""
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
    """Name the files that the Hub lacks or has otherwise, and those of an earlier checkpoint that are none any more."""
    names = [*(read_manifest(folder) or {}), MANIFEST]
    try:
        there = {
            entry.path: entry for entry in api.list_repo_tree(repository, recursive=True) if isinstance(entry, RepoFile)
        }
    except RepositoryNotFoundError:
        return names, []
    changed = [name for name in names if name not in there or not _same(folder / name, there[name])]
    return changed, [name for name in FILES if name in there and name not in names]


def _same(path: Path, entry: RepoFile) -> bool:
    """Compare a file with one on the Hub by its hash: SHA-256 for large files, git's own for small ones."""
    content = path.read_bytes()
    if entry.lfs is not None:
        return hashlib.sha256(content).hexdigest() == entry.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id


def _tag(api: HfApi, repository: str) -> str:
    """Give our last commit the next version's tag unless it has one. A tag never moves."""
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
