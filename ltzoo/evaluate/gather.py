"""What several processes measured, put together: each image once, in its order."""

import torch
import torch.distributed as dist
from torch import Tensor


def gather(own: Tensor) -> Tensor:
    """Put the shares of all processes together; without several processes, the share is the whole.

    Args:
        own: (N_p, ...), what this process, p of P, has of the images p, p + P, p + 2P and so on; N_p may be 0.

    Returns:
        (N, ...) of all images in their order, on every process and on the device of `own`.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return own
    shares: list = [None] * dist.get_world_size()
    dist.all_gather_object(shares, own.cpu())
    whole = torch.empty((sum(map(len, shares)), *own.shape[1:]), dtype=own.dtype)
    for process, share in enumerate(shares):
        whole[process :: len(shares)] = share
    return whole.to(own.device)
