"""Projection heads: networks of a loss's own that map features to the unit sphere, where they are compared."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.loss import Loss


class ProjectionHead(nn.Module):
    """Linear, BatchNorm, ReLU, linear, and division by the norm.

    BatchNorm always uses the statistics of the vectors that it is given: a projection head is not used after training,
    so running averages would never be read, and a forward pass changes no state.

    Args:
        num_features: F, the size of a feature vector.
        hidden_size: the number of hidden units.
        projection_size: P, the size of a projection.
    """

    def __init__(self, num_features: int, hidden_size: int, projection_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, hidden_size),
            nn.BatchNorm1d(hidden_size, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(hidden_size, projection_size),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project features.

        Args:
            features: (..., F). BatchNorm's statistics are those of all vectors together.

        Returns:
            (..., P) unit vectors.
        """
        projected = self.layers(features.reshape(-1, features.shape[-1]))
        return F.normalize(projected.reshape(*features.shape[:-1], -1), dim=-1)


class ProjectionLoss(Loss):
    """A loss that compares the projections of a batch; each such record declares these fields itself.

    Attributes:
        temperature: T, above 0.
        hidden_size: hidden units of the projection head, from 1 on.
        projection_size: the size of a projection, from 2 on.
    """

    temperature: float
    hidden_size: int
    projection_size: int
    ties_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature:
            raise ValueError("temperature must be above 0")
        for name, size, least in (("hidden_size", self.hidden_size, 1), ("projection_size", self.projection_size, 2)):
            if size < least:
                raise ValueError(f"{name} must be a whole number from {least} on, not {size!r}")
