"""Functions that fail in a process of their own."""

import os
import signal
import time


def answer(number: int) -> tuple[int, int]:
    return number, os.getpid()


def fails() -> None:
    try:
        raise RuntimeError("the cause\nand more")
    finally:
        raise ValueError("what follows")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs() -> None:
    time.sleep(60)
