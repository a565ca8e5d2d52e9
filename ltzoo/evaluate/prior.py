"""The class prior that a model's logits stand for, and probabilities under another one.

A model that is trained with cross-entropy of a_j * z_j + b_j on images drawn with class shares s_j and weighted by w_j
learns softmax(a * z + b)_j proportional to s_j * w_j * p(x | j). If all a_j are the same, softmax(z) is therefore the
posterior for the prior proportional to s_j * w_j * exp(-b_j); for another prior q, add log q_j and subtract the log of
this one (Saerens 2002, section 2.2; Menon 2021, section 4.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.losses import AdjustedCrossEntropy, FocalCrossEntropy, Loss, SmoothedCrossEntropy
from ltzoo.losses.loss import as_counts, log_prior

_SYMBOLS = {
    "pi_j": "pi_j the share of class j in the training images",
    "w_j": "w_j the weight of class j at the end of the training",
    "b_j": "b_j the offset of class j in the loss",
}
"""The symbols of `LogitPrior.words`."""


@dataclass(frozen=True)
class LogitPrior:
    """The class prior that logits stand for.

    Attributes:
        log_shares: (C,) float64, logarithms of shares that add up to 1.
        words: the prior as a formula up to a constant factor, what its symbols mean, and the loss.
        caveat: why softmax of the logits is a posterior only approximately; None if it is one exactly, for a model that
            minimises its loss.
    """

    log_shares: Tensor
    words: str
    caveat: str | None


def prior_of_logits(
    loss: Loss, class_counts: Sequence[int], weights: Tensor | None = None, balanced: bool = False
) -> LogitPrior | None:
    """Say which class prior the logits of a trained model stand for.

    Args:
        loss: the loss that it was trained with.
        class_counts: (C,) training images of each class.
        weights: (C,) class weights at the end of the training; None for 1.
        balanced: whether the sampler drew each class equally often.

    Returns:
        The prior; None for a loss of which it is unknown, one that a user registered, for example.
    """
    counts = as_counts(class_counts)
    log_pi = log_prior(counts)
    module = loss.bind(counts) if not loss.asks else None
    if not isinstance(module, AdjustedCrossEntropy | FocalCrossEntropy | SmoothedCrossEntropy):
        return None
    offset = getattr(module, "offset", None)
    log_shares = torch.zeros_like(log_pi) if balanced else log_pi
    if offset is not None:
        log_shares = log_shares - offset
    factors = _factors(offset, log_pi, balanced)
    if weights is not None and not torch.allclose(weights, weights[:1]):
        log_shares = log_shares + weights.double().log()
        factors.append("w_j")
    log_shares = log_shares - log_shares.logsumexp(0)
    formula = " * ".join(factors)
    is_uniform = not formula or bool((log_shares - log_shares.mean()).abs().max() < 1e-9)
    words = " = ".join([*([formula] if formula else []), *(["uniform"] if is_uniform else [])])
    described = ", ".join([words, *(meaning for symbol, meaning in _SYMBOLS.items() if symbol in formula)])
    return LogitPrior(log_shares, f"{described} (loss {loss.name})", _caveat(loss, module))


def _factors(offset: Tensor | None, log_pi: Tensor, balanced: bool) -> list[str]:
    """Write shares of drawn images times exp(-b_j); as a power of pi_j where it is one."""
    exponent = 0.0 if balanced else 1.0
    if offset is not None:
        rarest = int(log_pi.argmin())
        tau = float(offset[rarest] / log_pi[rarest])
        if not torch.allclose(offset, tau * log_pi):
            return [*([] if balanced else ["pi_j"]), "exp(-b_j)"]
        exponent -= tau
    if abs(exponent) < 1e-6:
        return []
    return ["pi_j" if abs(exponent - 1) < 1e-6 else f"pi_j^{exponent:.4g}"]


def _caveat(loss: Loss, module: AdjustedCrossEntropy | FocalCrossEntropy | SmoothedCrossEntropy) -> str | None:
    if isinstance(module, SmoothedCrossEntropy):
        return f"the loss {loss.name} smooths labels"
    if isinstance(module, FocalCrossEntropy):
        return f"the loss {loss.name} weighs images by their probability" if module.gamma else None
    if module.margin is not None and bool(module.margin.any()):
        return f"the loss {loss.name} subtracts margins from the logits in training alone"
    scale = module.scale
    if scale is not None and not torch.allclose(scale, torch.full_like(scale, loss.logit_scale)):
        return f"the loss {loss.name} scales each class's logit in training alone"
    return None


def with_prior(logits: Tensor, log_old: Tensor, shares: Tensor) -> Tensor:
    """Adjust logits to another class prior: z_j - log_old_j + log(shares_j).

    Args:
        logits: (N, C) floating point.
        log_old: (C,) logarithms of the prior that they stand for.
        shares: (C,) the new prior; a class with share 0 gets -inf.

    Returns:
        (N, C) float64.
    """
    return logits.double() - log_old + shares.double().log()
