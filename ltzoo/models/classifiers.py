"""The classifier of a timm model, and the classifiers of ours by name."""

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from ltzoo.models.heads import CosineClassifier, DisAlignClassifier, NearestMeanClassifier, OwnClassifier


def classifier_of(model: nn.Module) -> nn.Module:
    """Return the classifier of a timm model; if it has several, as distilled models do, a `ModuleList` of them."""
    found = cast(Any, model).get_classifier()
    return found if isinstance(found, nn.Module) else nn.ModuleList(found)


def classifier_names(model: nn.Module) -> tuple[str, ...]:
    """Return where a timm model has its classifier: dotted names of modules, several for distilled models."""
    names: str | Sequence[str] = cast(Any, model).pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


OWN_CLASSIFIERS: dict[str, type[nn.Module]] = {
    kind.word: kind for kind in (CosineClassifier, NearestMeanClassifier, DisAlignClassifier)
}
"""The heads that timm does not have and that fit any network, by the word that `classifier=` takes."""

_CLASSIFIERS: dict[str, type[nn.Module]] = {"linear": nn.Linear} | OWN_CLASSIFIERS


def classifier_class(name: str) -> type[nn.Module]:
    """Return the class of a classifier; its arguments are those of `nn.Linear`.

    Args:
        name: 'linear', 'cosine', 'nearest_mean' or 'disalign'.

    Raises:
        ValueError: No classifier has this name.
    """
    if name not in _CLASSIFIERS:
        raise ValueError(f"classifier must be one of {', '.join(_CLASSIFIERS)}, not {name!r}")
    return _CLASSIFIERS[name]


def classifier_word(model: nn.Module) -> str:
    """Return the word of a timm model's classifier; `linear` for every one that is timm's own."""
    found = classifier_of(model)
    return found.word if isinstance(found, OwnClassifier) else "linear"
