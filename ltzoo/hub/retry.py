"""Patience with the Hub, where its client has none."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from ltzoo.errors import first_line

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries."""

_CONFLICT = (409, 412)
"""Another commit is on its way, or has come in between."""


def with_retries(call: Callable[[], Result]) -> Result:
    """Call, and call again while the Hub is busy, broken or out of reach.

    The client itself tries again for a file's head, for uploads of large files and for a rate limit, but not for a
    file's body, a commit, a new repository or its description.

    Args:
        call: what to do; a repetition must do no harm.

    Raises:
        HTTPError, OSError, RuntimeError: the last answer, or the first that no patience helps against.
    """
    for wait in _WAITS:
        try:
            return call()
        except (HTTPError, OSError, RuntimeError) as error:
            if not _passing(error):
                raise
            _logger.warning("the Hub's client failed (%s); once more in %g s", first_line(error), wait)
        time.sleep(wait)
    return call()


def _passing(error: Exception) -> bool:
    """Say whether an error may pass by itself: a server's fault, a limit, a conflict, a connection that broke."""
    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, LocalEntryNotFoundError):
        # The client looked into its cache in vain, because of this; without a network, it is something else.
        return isinstance(error.__cause__, HfHubHTTPError) and _passing(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status >= 500 or status == 429 or status in _CONFLICT
    if isinstance(error, RuntimeError):
        # Large files have a way of their own, Xet; what fails there comes without a kind, here without a cause.
        return error.__cause__ is None
    # An OSError of the client's own has no number: a body that is shorter than it should be.
    return isinstance(error, HTTPError) or (isinstance(error, OSError) and error.errno is None)
