"""What `import ltzoo` gives, and what it leaves for later."""

import subprocess
import sys

import pytest

import ltzoo


def test_every_public_name_is_there_and_no_other():
    for name in ltzoo.__all__:
        assert getattr(ltzoo, name) is not None
        assert name in dir(ltzoo)
    with pytest.raises(AttributeError, match="module 'ltzoo' has no attribute 'nothing'"):
        ltzoo.nothing  # noqa: B018


def test_import_ltzoo_loads_nothing_and_registers_the_architectures_once_timm_is_imported():
    script = """
import importlib.util, sys
import ltzoo
early = [name for name in ("torch", "timm") if name in sys.modules]
importlib.util.find_spec("timm")  # as other packages look whether timm is installed
import timm
print(early, timm.is_model("resnet32_cifar"), timm.is_model("resnet50_cosine"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True True\n"
