"""What networks with several experts share: a stage with a copy for each expert, and the classifiers of all experts.

Papers: `Long-tailed Recognition by Routing Diverse Distribution-Aware Experts` (RIDE, Wang et al., ICLR 2021) -
https://arxiv.org/abs/2010.01809, whose experts share the early stages; `Self-Supervised Aggregation of Diverse Experts
for Test-Agnostic Long-Tailed Recognition` (SADE, Zhang et al., NeurIPS 2022) - https://arxiv.org/abs/2107.09249, which
trains the same networks with another loss.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.models.heads import OwnClassifier, without_autocast


class ExpertStage(nn.Module):
    """A stage that each expert has for itself; features of the experts stand side by side in the channels.

    Args:
        experts: The stage of each expert.
        shared_input: Whether every expert sees the whole input; if not, each sees its own share of the channels.
    """

    def __init__(self, experts: Sequence[nn.Module], shared_input: bool) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.num_experts = len(experts)
        self.shared_input = shared_input

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield what timm's gradient checkpointing recomputes at once, which is the whole stage."""
        yield self

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, experts * channels, H', W'), the channels of the first expert first."""
        outputs = []
        for i, expert in enumerate(self.experts):  # as TorchScript and torch.fx can follow it
            outputs.append(expert(x if self.shared_input else x.chunk(self.num_experts, dim=1)[i]))
        return torch.cat(outputs, dim=1)


@torch.fx.wrap
def _cosines_by_expert(x: Tensor, vectors: Tensor) -> Tensor:
    """Compute the cosines of each expert's features (N, E, F) and vectors (C, E, F): (N, E, C), see `heads.cosines`."""
    if torch.jit.is_scripting():
        return torch.einsum("nef,cef->nec", F.normalize(x.to(vectors.dtype), dim=2), F.normalize(vectors, dim=2))
    with without_autocast(x.device.type):
        return torch.einsum("nef,cef->nec", F.normalize(x.to(vectors.dtype), dim=2), F.normalize(vectors, dim=2))


class CosineExpertsClassifier(OwnClassifier):
    """A cosine classifier for each expert: scale * cos(angle between the expert's feature and its class vector).

    The logits are the mean of the experts' logits; `experts` gives those of each. Wang et al. (2021) and Zhang et al.
    (2022) take 30 as the scale. Unlike those of `CosineClassifier`, the logits are scaled already.

    Args:
        in_features: Size of the features of all experts together.
        num_classes: Number of classes.
        num_experts: Number of experts, E.
        num_pools: How many kinds of pooling stand one after the other in a feature, each with the channels of all
            experts: 2 for timm's 'catavgmax', else 1.
        scale: What the cosines are multiplied by.
        device: Device of the weight.
        dtype: Dtype of the weight.

    Attributes:
        weight: One row per class, (num_classes, in_features): the class's vectors of all experts, in the order of the
            features. Only the vectors' directions matter.
    """

    word: ClassVar[str] = "cosine_experts"

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        num_experts: int,
        num_pools: int = 1,
        scale: float = 30.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._split = (num_pools, num_experts, in_features // (num_pools * num_experts))
        super().__init__(in_features, num_classes, device, dtype)
        self.scale = scale

    def reset_parameters(self) -> None:
        """Draw each expert's class vectors uniformly from a cube and scale them to unit length (Cao 2019)."""
        nn.init.uniform_(self.weight, -1.0, 1.0)
        with torch.no_grad():
            vectors = self.weight.view(len(self.weight), *self._split)
            self.weight.copy_((vectors / vectors.norm(dim=(1, 3), keepdim=True)).flatten(1))

    def by_expert(self, x: Tensor) -> Tensor:
        """Map features or class vectors (N, in_features) to those of each expert, (N, E, in_features / E)."""
        return x.unflatten(1, self._split).transpose(1, 2).flatten(2)

    def experts(self, x: Tensor) -> Tensor:
        """Map features (N, in_features) to the logits of each expert, (N, E, num_classes)."""
        return self.scale * _cosines_by_expert(self.by_expert(x), self.by_expert(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_features) to logits (N, num_classes), the mean of the experts' logits."""
        return self.experts(x).mean(dim=1)

    def extra_repr(self) -> str:
        """Describe the layer inside `print(model)`."""
        return f"{super().extra_repr()}, num_experts={self._split[1]}, scale={self.scale}"


class WithExperts(nn.Module):
    """The part of a timm model whose last stages are `ExpertStage`s: how it is classified and its layers are grouped.

    A mixin; list it before the network class in the bases.
    """

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new `CosineExpertsClassifier`, with one expert if no such stage is left.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        network = cast(Any, self)
        cast(Any, super()).reset_classifier(num_classes, global_pool)
        if num_classes > 0:
            stages = [module for module in self.modules() if isinstance(module, ExpertStage)]
            linear = network.fc  # of the right width, device and dtype
            network.fc = CosineExpertsClassifier(
                linear.in_features,
                num_classes,
                stages[-1].num_experts if stages else 1,
                network.global_pool.feat_mult(),
                device=linear.weight.device,
                dtype=linear.weight.dtype,
            )
            network.fc.train(self.training)

    def forward_experts(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the logits of each expert, (B, E, num_classes); their mean is the model's."""
        network = cast(Any, self)
        return network.fc.experts(network.forward_head(network.forward_features(x), pre_logits=True))

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return the patterns by which timm groups parameters; all experts' blocks of one depth are a group.

        Args:
            coarse: One group per stage instead of one per block.

        Returns:
            Group name -> regular expression.
        """
        patterns = dict(cast(Any, super()).group_matcher(coarse))
        if not coarse:
            patterns["blocks"] = r"^layer(\d+)\.(?:experts\.\d+\.)?(\d+)"
        return patterns


def check_experts(classifier: str, num_experts: int) -> None:
    """Check the arguments of a network with experts.

    Raises:
        ValueError: `classifier` is not the experts' own, or there is no expert.
    """
    if classifier != CosineExpertsClassifier.word:
        raise ValueError(f"classifier must be {CosineExpertsClassifier.word}, not {classifier!r}: each expert has one")
    if num_experts < 1:
        raise ValueError(f"num_experts must be at least 1, not {num_experts}")
