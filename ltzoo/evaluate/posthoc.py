"""Post-hoc re-balancing: class-wise adjustments of a trained model's logits, without further training.

The strength tau is a hyperparameter: choose it on held-out images, never on the test set.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from ltzoo.errors import InputError
from ltzoo.losses.loss import as_counts, log_prior


def adjust_logits(logits: Tensor, class_counts: Tensor | Sequence[int], tau: float) -> Tensor:
    """Subtract tau * log pi_j, with pi_j = n_j / sum n, from each logit z_j.

    Menon et al., Long-tail learning via logit adjustment, ICLR 2021, section 4.1. Training with LA adds what this
    subtracts, so a model trained with LA is already balanced.

    Args:
        logits: (N, C) floating point.
        class_counts: (C,) training images of each class, all at least 1.
        tau: strength, finite and at least 0; 0 changes nothing.

    Returns:
        (N, C) float64.

    Raises:
        InputError: tau is negative, not finite or too large, or the class counts are invalid.
    """
    _check_tau(tau)
    try:
        prior = log_prior(as_counts(class_counts))
    except ValueError as error:
        raise InputError(str(error)) from error
    _check_classes(logits, "class_counts", prior)
    return _finite(logits.double() - tau * prior.to(logits.device), tau)


def tau_normalize(logits: Tensor, weight_norms: Tensor, bias: Tensor, tau: float) -> Tensor:
    """Divide each weight vector of a linear classifier by its norm to the power of tau, and drop the bias.

    Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4
    (tau-normalized classifier). In terms of the logits z_j = w_j · f + b_j, this is (z_j - b_j) / |w_j|^tau.

    Args:
        logits: (N, C) floating point, of the classifier as trained.
        weight_norms: (C,) norms |w_j|, above 0.
        bias: (C,) b_j.
        tau: strength, finite and at least 0; 0 only drops the bias.

    Returns:
        (N, C) float64.

    Raises:
        InputError: tau is negative, not finite or too large, a norm is not above 0, or the shapes do not match.
    """
    _check_tau(tau)
    _check_classes(logits, "weight_norms", weight_norms)
    _check_classes(logits, "bias", bias)
    if not bool((weight_norms > 0).all()):
        raise InputError(
            f"the smallest of weight_norms is {float(weight_norms.min())}; tau-normalisation needs norms above 0"
        )
    return _finite((logits.double() - bias.double()) / weight_norms.double() ** tau, tau)


def _check_tau(tau: float) -> None:
    if not (math.isfinite(tau) and tau >= 0):
        raise InputError(f"tau must be finite and not below 0, not {tau}")


def _finite(logits: Tensor, tau: float) -> Tensor:
    if not bool(logits.isfinite().all()):
        raise InputError(f"with tau {tau:g} some logits are no longer finite; choose a smaller tau")
    return logits


def _check_classes(logits: Tensor, name: str, values: Tensor) -> None:
    if logits.ndim != 2 or values.shape != logits.shape[1:]:
        found = f"{tuple(logits.shape)} and {tuple(values.shape)}"
        raise InputError(f"logits and {name} have the shapes {found}; give (N, C) and (C,)")
