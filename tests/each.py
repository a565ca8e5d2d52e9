"""One test for many cases: it tries all of them and names those that fail."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Case = TypeVar("Case")


def check_each(cases: Iterable[Case], check: Callable[[Case], None]) -> None:
    """Check every case, also after one has failed; hundreds of tests of their own would cost their set-up."""
    cases, failed = list(cases), []
    for case in cases:
        try:
            check(case)
        except Exception as error:
            failed.append(f"{case}: {type(error).__name__}: {error}")
    assert cases, "there is nothing to check"
    assert not failed, f"{len(failed)} of {len(cases)} fail:\n" + "\n".join(failed)
