"""A copy of a network that follows it slowly, as the key encoder of MoCo and PaCo does."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class MomentumCopy(nn.Module):
    """A copy of a network whose weights are a moving average of the network's: w' = m * w' + (1 - m) * w.

    The copy's weights are buffers, so that no optimizer or perturbation moves them and a skipped step undoes their
    update. Its BatchNorm layers normalise by the batch that they are given and keep no running statistics.

    Args:
        network: any module.
        momentum: m, in [0, 1].
    """

    def __init__(self, network: nn.Module, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.network = copy.deepcopy(network).train()
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
            weights = {name: weight for name, weight in module._parameters.items() if weight is not None}
            for name, weight in weights.items():
                del module._parameters[name]
                module.register_buffer(name, weight.detach().clone())
            # `follow` alone writes them, so that no copy of them need be kept during perturbed passes.
            module.unwritten = frozenset(weights)  # type: ignore[assignment]

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Update the weights once.

        Args:
            network: the one that was copied, with its weights of now.
        """
        for name, parameter in network.named_parameters(remove_duplicate=False):
            self.network.get_buffer(name).lerp_(parameter, 1 - self.momentum)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the copy, without gradient."""
        found: Tensor = self.network(inputs)
        return found

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Compute the features that the classifier of a copied timm model sees, without gradient.

        Args:
            images: (B, channels, H, W).

        Returns:
            (B, F).
        """
        model = self.network
        found: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)  # type: ignore[operator]
        return found
