"""Which errors are explained in one line; all others keep their traceback."""

import socket

import pytest

from ltzoo.train.device_errors import as_input_error


def test_an_error_that_names_its_file_is_explained():
    error = as_input_error(OSError(28, "No space left on device", "output/x"), "r.seed0")
    assert str(error) == "r.seed0: output/x cannot be used: No space left on device"


@pytest.mark.parametrize(
    "error",
    [
        OSError("could not get source code"),
        OSError(24, "Too many open files"),
        socket.gaierror(-2, "Name or service not known"),
        TypeError("a fault"),
    ],
)
def test_an_error_without_a_file_is_not(error):
    assert as_input_error(error, "r.seed0") is None
