"""What the machine is, and whether torch can use its GPU."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import accelerate
import numpy as np
import psutil
import timm
import torch

import ltzoo
from ltzoo.doctor.report import Check, Machine
from ltzoo.errors import first_line
from ltzoo.train.device import cores, device_name


def usual_device() -> torch.device:
    """Return the device that training uses: the accelerator if torch can use one, else the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None else torch.device(found.type)


def describe_machine() -> Machine:
    """Describe the device that training uses, and the software on it."""
    device = usual_device()
    memory = psutil.virtual_memory()
    free, total = float(memory.available), float(memory.total)
    capability, driver, count = torch.backends.cpu.get_cpu_capability(), None, 1
    if device.type == "cuda":
        free, total = map(float, torch.cuda.mem_get_info())
        capability = "compute capability " + ".".join(map(str, torch.cuda.get_device_capability()))
        driver, count = _driver(), torch.cuda.device_count()
    versions = {
        "ltzoo": ltzoo.__version__,
        "torch": str(torch.__version__),
        "CUDA": torch.version.cuda or "none",
        "timm": timm.__version__,
        "accelerate": accelerate.__version__,
        "numpy": np.__version__,
        "Python": platform.python_version(),
    }
    return Machine(
        device.type, device_name(device), count, total / 1e9, free / 1e9, capability, driver, cores(), versions
    )


def check_device() -> Check:
    """Check that torch can use the GPU that the machine has, and has kernels for it."""
    name = "device"
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        built = torch.cuda.get_arch_list()
        if built and not any(_runs(arch, major, minor) for arch in built):
            has = f"only {', '.join(built)}; install a torch for this GPU"
            return Check(name, "wrong", f"torch has no kernels for compute capability {major}.{minor}, {has}")
        total = float((torch.ones(1000, device="cuda") * 2).sum())
        return Check(name, "ok" if total == 2000 else "wrong", f"a sum of 2000 on the GPU is {total:g}")
    if not has_nvidia_gpu():
        return Check(name, "ok", "there is no NVIDIA GPU")
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return Check(name, "ok", f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']} hides the GPU")
    if torch.version.cuda is None:
        return Check(name, "wrong", "there is an NVIDIA GPU, but torch is built without CUDA; install one with it")
    reason = "it does not say why"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        reason = first_line(error)
    return Check(name, "wrong", f"there is an NVIDIA GPU, but torch cannot use it: {reason}")


def _runs(arch: str, major: int, minor: int) -> bool:
    """Return whether kernels built for an architecture run on a device.

    Machine code (sm_90) runs on later devices of the same generation, PTX (compute_90) on all later devices.
    """
    kind, _, version = arch.rstrip("abcdf").partition("_")
    if not version.isdigit():
        return True  # another maker's GPU
    built = int(version[:-1]), int(version[-1])
    return built <= (major, minor) and (kind == "compute" or built[0] == major)


def has_nvidia_gpu() -> bool:
    """Return whether the machine shows an NVIDIA GPU, whether or not torch can use it."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, if its tool is there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    line = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return lines[0].strip() if lines else None
