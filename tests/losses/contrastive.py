"""A small model with timm's methods, images with several views, and what tests of contrastive losses share."""

import numpy as np
import torch
from torch import nn

from ltzoo.losses import LOSSES, Outputs
from tests.losses.plain import COUNTS, SIZES

FEATURES = 5
TARGETS = torch.tensor([0, 1, 0, 2, 0, 1])
"""Class 3 has no image."""
SETTINGS = {
    "bcl": SIZES | {"temperature": 0.2, "scale": 1.5, "ce_weight": 2.0, "contrast_weight": 0.6},
    "proco": SIZES | {"temperature": 0.2, "scale": 1.5, "weight": 0.7},
    "paco": SIZES | {"temperature": 0.2, "alpha": 0.3, "momentum": 0.9, "queue_size": 9},
}


class Network(nn.Module):
    """Features through BatchNorm, and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.classifier = nn.Conv2d(1, FEATURES, 3), nn.BatchNorm2d(FEATURES), nn.Linear(5, 4)

    def forward_features(self, images):
        return torch.relu(self.norm(self.conv(images)))

    def forward_head(self, x, pre_logits=False):
        features = x.mean(dim=(2, 3))
        return features if pre_logits else self.classifier(features)

    def get_classifier(self):
        return self.classifier


def make_network():
    torch.manual_seed(0)
    return Network().double()


def make_criterion(name, model=None, **changes):
    torch.manual_seed(1)
    criterion = LOSSES[name](**(SETTINGS[name] | changes)).bind(COUNTS, FEATURES).double()
    if model is not None:
        criterion.attach(model)
    return criterion


def make_images(name, seed=0, count=6):
    """(B, V, 1, 4, 4) with values far from each other."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, LOSSES[name].views, 1, 4, 4, dtype=torch.float64, generator=generator)


def forward_of(name, model):
    """As a trainer's: all views that the model sees as one batch."""

    def forward(images):
        seen = images[:, : LOSSES[name].model_views]
        features = model.forward_head(model.forward_features(seen.flatten(0, 1)), pre_logits=True)
        features = features.unflatten(0, seen.shape[:2])
        given = images if "images" in LOSSES[name].asks else None
        return Outputs(model.get_classifier()(features), features=features, images=given)

    return forward


def make_outputs(name, seed=2, count=6):
    """Outputs whose logits and features can be differentiated."""
    generator = torch.Generator().manual_seed(seed)
    views = LOSSES[name].model_views or LOSSES[name].views
    logits = torch.randn(count, views, 4, dtype=torch.float64, generator=generator)
    features = torch.randn(count, views, FEATURES, dtype=torch.float64, generator=generator)
    images = make_images(name, count=count) if "images" in LOSSES[name].asks else None
    return Outputs(logits.requires_grad_(), features=features.requires_grad_(), images=images)


def arrays(outputs):
    return outputs.logits.detach().numpy(), outputs.features.detach().numpy()


def copies(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_state(module, expected):
    assert module.state_dict().keys() == expected.keys()
    assert [name for name, value in module.state_dict().items() if not torch.equal(value, expected[name])] == []


def assert_close(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(expected), rtol=1e-10, atol=1e-10)
