"""The small Hub of this session of tests, and the environment by which the real client finds it and nothing else."""

from tests.checkpoints.hub_server import Hub

HUB = Hub()
"""It listens, and answers once a test has started it."""

ENVIRONMENT = {
    "HF_ENDPOINT": HUB.endpoint,
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
