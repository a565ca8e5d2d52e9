"""Parts of a recipe: initial weights, trainable weights, head, image input."""

import math
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Start(ABC):
    """The weights that training starts from.

    Attributes:
        name: its name in a recipe.
    """

    name: ClassVar[str]


@dataclass(frozen=True)
class Fresh(Start):
    """Freshly initialised weights."""

    name: ClassVar[str] = "fresh"


@dataclass(frozen=True)
class Pretrained(Start):
    """timm's pretrained weights of the architecture, with a fresh classifier."""

    name: ClassVar[str] = "pretrained"


@dataclass(frozen=True)
class Weights(Start):
    """Weights from a file or a checkpoint.

    Attributes:
        of: a file of weights, or the name of a checkpoint as for `ltzoo.create_model`.
        head: whether the checkpoint's classifier is `kept`, or the classifier is `fresh`; None: kept if the checkpoint
            was trained on the same classes. The classifier of a file is never kept, since a file does not name its
            classes.
    """

    of: str
    head: Literal["kept", "fresh"] | None = None
    name: ClassVar[str] = "weights"


@dataclass(frozen=True)
class FirstStage(Start):
    """Another recipe's run of the same seed, which makes this recipe its second stage.

    Attributes:
        recipe: name of the first stage's recipe.
        head: whether the first stage's classifier is `kept`, or the classifier is `fresh`.
    """

    recipe: str
    head: Literal["kept", "fresh"]
    name: ClassVar[str] = "first_stage"


STARTS: dict[str, type[Start]] = {kind.name: kind for kind in (Fresh, Pretrained, Weights, FirstStage)}


@dataclass(frozen=True)
class Trainable:
    """Which weights are trained, and how running statistics (BatchNorm's, InstanceNorm's, EvoNorm's) are updated.

    Attributes:
        weights: `all`; only those of the `head`; only those of the `backbone`, which is all but the head; or the head
            and little of the network below it: its normalisation layers (`norm`), its biases (`bias`) or an adapter
            beside each layer (`lora`, Hu 2022).
        batchnorm: which forward passes update the running statistics, also in layers with frozen weights: `clean`, only
            the pass at w; `all`, every pass; `frozen`, none. With `frozen`, training normalises by the initial
            statistics, and with `weights: head` all layers below the head are in evaluation mode.
        lora_rank: with `lora`, the rank r of the adapters, which add B A to a layer's weights, B with r columns and A
            with r rows, without a factor (LoRA's alpha is r); otherwise None.
    """

    weights: Literal["all", "head", "backbone", "lora", "norm", "bias"] = "all"
    batchnorm: Literal["clean", "all", "frozen"] = "clean"
    lora_rank: int | None = None

    def __post_init__(self) -> None:
        if (self.weights == "lora") != (self.lora_rank is not None):
            raise ValueError(
                "lora_rank is the rank of the adapters: with weights lora set a number, such as 8, else null "
                f"(--tuning {self.weights} sets both)"
            )
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank must be at least 1, not {self.lora_rank}")


@dataclass(frozen=True)
class Head(ABC):
    """The classifier, which computes logits from features.

    Attributes:
        name: its name in a recipe.
        module: the classifier of the stored model, as `ltzoo.models.heads.classifier_class` names it; `linear` for
            timm's own.
        computed: whether it is computed from the weights and features of the start in closed form, so that nothing is
            trained and the schedule has no epochs.
        changes_linear: whether it begins with the linear classifier of the start, which must be kept.
        from_class_means: whether it begins with the mean features of each class, so that no classifier is kept.
    """

    name: ClassVar[str]
    module: ClassVar[str] = "linear"
    computed: ClassVar[bool] = False
    changes_linear: ClassVar[bool] = False
    from_class_means: ClassVar[bool] = False


@dataclass(frozen=True)
class LinearHead(Head):
    """A linear layer with bias, timm's own."""

    name: ClassVar[str] = "linear"


@dataclass(frozen=True)
class CosineHead(Head):
    """Cosines between features and class vectors, without bias or scale (Cao 2019): see `CosineClassifier`."""

    name: ClassVar[str] = "cosine"
    module: ClassVar[str] = "cosine"


@dataclass(frozen=True)
class ScaledHead(Head):
    """A learned factor per class of the start's linear classifier, s_j * (w_j . z + b_j), s = 1 at first (Kang 2020).

    The stored model has the linear layer that this amounts to, with weights s_j * w_j and biases s_j * b_j.

    Attributes:
        lr_factor: the learning rate of weights and biases, as a factor of that of s. 0: they are frozen (LWS); MiSLAS
            trains both.
    """

    lr_factor: float
    name: ClassVar[str] = "scaled"
    changes_linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.lr_factor < math.inf:
            raise ValueError(f"lr_factor must be finite and not below 0, not {self.lr_factor}")


@dataclass(frozen=True)
class ScaledCosineHead(Head):
    """Scaled cosines between features and class vectors, which begin as the classes' mean features (Shi 2024).

    The stored model has a linear layer that predicts the same classes, see `ScaledCosineClassifier`.

    Attributes:
        scale: what the cosines are multiplied by.
    """

    scale: float
    name: ClassVar[str] = "scaled_cosine"
    from_class_means: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be finite and above 0, not {self.scale}")


@dataclass(frozen=True)
class TauNormHead(Head):
    """The start's weight vectors divided by their norms to the power of tau, without bias (Kang 2020): tau-norm.

    Attributes:
        tau: the strength, to be chosen on held-out training images; 0 only drops the bias, 1 gives all vectors unit
            length.
    """

    tau: float
    name: ClassVar[str] = "tau_norm"
    computed: ClassVar[bool] = True
    changes_linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.tau < math.inf:
            raise ValueError(f"tau must be finite and not below 0, not {self.tau}")


@dataclass(frozen=True)
class NearestMeanHead(Head):
    """The class with the nearest mean of centred and normalised training features: see `NearestMeanClassifier`."""

    name: ClassVar[str] = "nearest_mean"
    module: ClassVar[str] = "nearest_mean"
    computed: ClassVar[bool] = True


@dataclass(frozen=True)
class DisAlignHead(Head):
    """The start's logits, aligned as far as a learned confidence in the image says: see `DisAlignClassifier`."""

    name: ClassVar[str] = "disalign"
    module: ClassVar[str] = "disalign"
    changes_linear: ClassVar[bool] = True


@dataclass(frozen=True)
class CosineExpertsHead(Head):
    """A scaled cosine classifier for each expert, whose logits are averaged: see `CosineExpertsClassifier`."""

    name: ClassVar[str] = "cosine_experts"
    module: ClassVar[str] = "cosine_experts"


HEADS: dict[str, type[Head]] = {
    kind.name: kind
    for kind in (
        LinearHead,
        CosineHead,
        ScaledHead,
        ScaledCosineHead,
        TauNormHead,
        NearestMeanHead,
        DisAlignHead,
        CosineExpertsHead,
    )
}


@dataclass(frozen=True)
class Input:
    """How images reach a model that has a size of its own; None: the value of the model's `pretrained_cfg`, as in timm.

    Images in files need one. Images in memory, such as CIFAR's, have their own size and normalisation without one; with
    one they are enlarged as a whole, so that `crop_pct` is 1.

    Attributes:
        size: height and width in pixels.
        mean: of each channel, see `ltzoo.data.DataSet`.
        std: of each channel.
        crop_pct: the share of a test image's shorter side that the centre crop keeps.
        interpolation: how images are resized.
        shorter_side: larger images are first resized so that the shorter side has this number of pixels; the results
            can be cached (`--image-cache`). None: images are not resized first.
    """

    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    shorter_side: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != 3:
                raise ValueError(f"{name} must be three numbers, one per channel, not {list(values)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {list(self.std)}")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct must be above 0 and at most 1, not {self.crop_pct}")
        if self.shorter_side is not None and self.shorter_side < 1:
            raise ValueError(f"shorter_side must be at least 1, not {self.shorter_side}")
