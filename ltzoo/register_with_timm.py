"""Register ltzoo's architectures with timm as soon as timm is imported.

`import ltzoo` promises that `timm.create_model("resnet32_cifar")` works, in whichever order the two are imported, and
that it does not load timm itself, which `ltzoo list` has no use for.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_ARCHITECTURES = "ltzoo.models"


def register_with_timm() -> None:
    """Register the architectures now if timm is imported already, otherwise when it is."""
    if "timm" in sys.modules:
        importlib.import_module(_ARCHITECTURES)
    else:
        sys.meta_path.insert(0, _TimmFinder())


class _TimmFinder(MetaPathFinder):
    """Finds timm as Python does, and has the architectures imported after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return timm's spec; leave every other module to the other finders."""
        if fullname != "timm":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            importlib.import_module(_ARCHITECTURES)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
