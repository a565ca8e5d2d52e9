"""A module that a loss refers to without owning it."""

from torch import nn


class Attached:
    """Refers to a module of the model, out of reach of `nn.Module`: its parameters and state stay the model's.

    A deep copy and a pickle of the loss refer to nothing: they would follow a copy of the model that nobody trains.

    Attributes:
        module: None before `LossModule.attach`.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        self.module = module

    def __reduce__(self) -> tuple[type["Attached"], tuple[()]]:
        return Attached, ()
