"""Errors of the Hub's client: which ones to retry, and what they mean in one line.

The client's errors are no closed list. They change with its version (httpx, httpx2) and with what it is built on: a
SOCKS proxy without its package is an ImportError, an unknown kind of proxy a ValueError, a wrong address an error
without a class in common with the others. So whatever is raised while the Hub is asked is caught, and explained here.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import TypeVar
from urllib.request import getproxies

from huggingface_hub import constants
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

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the attempts."""

_LONGEST = 300
"""Characters of the client's own words that a message has."""

_CONFLICT = (409, 412)
"""HTTP statuses for a concurrent commit."""


class NotFoundError(InputError):
    """A folder or the Hub does not have a checkpoint, or does not show it to this user."""


def with_retries(call: Callable[[], Result]) -> Result:
    """Call, and retry while the Hub is busy, broken or unreachable.

    The client itself retries a file's HEAD request, uploads of large files and rate limits, but not the download of a
    file, a commit, the creation of a repository or its description.

    Args:
        call: a function that can safely be repeated.

    Raises:
        Exception: the client's last error, or the first one that a retry cannot help.
    """
    for wait in _WAITS:
        try:
            return call()
        except Exception as error:
            if not _is_temporary(error):
                raise
            _logger.warning("the Hub's client failed (%s); trying again in %g s", first_line(error), wait)
        time.sleep(wait)
    return call()


def _is_temporary(error: Exception) -> bool:
    """Return whether a retry may help: a server error, a rate limit, a conflict or a broken connection."""
    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, LocalEntryNotFoundError):
        # The file is not cached and the request for it failed; without a cause there was no network at all.
        return isinstance(error.__cause__, HfHubHTTPError) and _is_temporary(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status >= 500 or status == 429 or status in _CONFLICT
    if isinstance(error, RuntimeError):
        # Errors of Xet, the transfer of large files, are plain RuntimeErrors without a cause.
        return error.__cause__ is None
    # The client raises an OSError without a number if a file's content is shorter than announced.
    return isinstance(error, HTTPError) or (isinstance(error, OSError) and error.errno is None)


@contextmanager
def explained(repository: str, revision: str | None = None) -> Iterator[None]:
    """Ask the Hub within: whatever the client raises becomes one line.

    Args:
        repository: `ORG/NAME`, or the user or organisation that is asked for.
        revision: branch, tag or commit.

    Raises:
        NotFoundError: the Hub does not have the repository, or does not show it.
        InputError: any other error of the client, see `explain`.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise explain(error, repository, revision) from error


def is_answer(error: BaseException) -> bool:
    """Return whether an error is an answer of the Hub, or says that the question or this machine's disk is at fault.

    All others are broken connections, or a client that cannot be built: the cache may still have what was asked for.
    """
    return isinstance(error, OSError | HFValidationError | InputError)


def reason(error: BaseException) -> str:
    """Say in one line why the client failed, and through which proxy it connects."""
    said = shorten(str(error), _LONGEST, placeholder=" ...") or type(error).__name__
    if isinstance(error, ImportError) and "socks" in said.lower():
        return f"{_proxies()} is a SOCKS proxy, which needs a package: pip install socksio"
    if isinstance(error, ValueError) and "scheme for proxy" in said:
        return f"{_proxies()} is no kind of proxy that the client knows: write http://, https:// or socks5://"
    if not isinstance(error, HTTPError | OSError | RuntimeError | ValueError | ImportError):
        said = f"{type(error).__name__}: {said}"
    return f"{said}; the proxy is {_proxies()}" if is_broken(error) and _proxies() else said


def is_broken(error: BaseException) -> bool:
    """Return whether there was no answer at all: no connection, or no client that could connect."""
    no_client = isinstance(error, ImportError) or (isinstance(error, ValueError) and "proxy" in str(error))
    return no_client or (isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError))


def _proxies() -> str:
    """List the proxies of the environment as variables with their addresses, without names and passwords."""
    hidden = {kind: re.sub(r"//[^/@]*@", "//***@", address) for kind, address in getproxies().items() if kind != "no"}
    return ", ".join(f"{kind.upper()}_PROXY={address}" for kind, address in hidden.items())


def explain(error: BaseException, repository: str, revision: str | None = None) -> InputError:
    """Turn an error of the Hub's client into one line: what is wrong, and what to do.

    Args:
        error: the client's error.
        repository: `ORG/NAME`.
        revision: branch, tag or commit.
    """
    if isinstance(error, RuntimeError) and error.__cause__:  # the client wraps errors of large files
        error = error.__cause__
    answer = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    status = answer.response.status_code if isinstance(answer, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return InputError(f"{repository} is gated; ask for access on its page, and log in with `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return NotFoundError(f"{repository} is not on the Hub, or is private and the token may not read it")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{repository} has no revision {revision}; its page on the Hub lists branches and tags")
    if isinstance(error, HFValidationError):
        return InputError(f"{repository!r} is not a valid name of a Hub repository; write user/name")
    if status == 401:
        return InputError(f"{repository}: the Hub refuses the token (401); see HF_TOKEN, or `hf auth login`")
    if status == 403:
        return InputError(f"the token may not do this to {repository} ({first_line(error)})")
    if isinstance(error, OfflineModeIsEnabled):
        return InputError(f"{repository}: HF_HUB_OFFLINE is set, so the Hub is not asked")
    if isinstance(error, LocalEntryNotFoundError):
        said = reason(answer or error)
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"the Hub cannot be reached ({said})"
        state = "incomplete" if isinstance(error, IncompleteSnapshotError) else "missing"
        where = f"{repository}@{revision}" if revision else repository
        return InputError(f"{where} is {state} in the cache {constants.HF_HUB_CACHE}, and {why}")
    if is_broken(error):
        return InputError(f"{repository}: the Hub cannot be reached ({reason(error)})")
    return InputError(f"{repository}: the Hub's client failed ({reason(error)})")
