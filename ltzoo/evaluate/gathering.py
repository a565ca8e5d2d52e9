"""Combine the results of several processes."""

import torch.distributed as dist
from torch import Tensor


def gather(own: Tensor) -> Tensor:
    """Combine the results of all processes of the default group, in image order; without a group, return `own`.

    Nothing is padded and no image is counted twice, so the result does not depend on the number of processes.

    Args:
        own: (N_p, ...), the results of this process p of P for the images p, p + P, p + 2P and so on. N_p may be 0
            where there are fewer images than processes.

    Returns:
        (N, ...) for all images in order, on every process and on the device of `own`.

    Raises:
        ValueError: the lengths do not match this interleaving; every process raises it.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return own
    shares: list = [None] * dist.get_world_size()
    # Objects work with both NCCL and gloo. Cloned, because pickling a view sends its whole storage.
    dist.all_gather_object(shares, own.detach().cpu().clone())
    lengths = list(map(len, shares))
    images = sum(lengths)
    if lengths != [len(range(process, images, len(shares))) for process in range(len(shares))]:
        raise ValueError(f"the processes have {lengths} images; process p of P must have p, p + P, p + 2P and so on")
    first = shares[0]  # a process without images may not know the shape of one result
    whole = first.new_empty((images, *first.shape[1:]))
    for process, share in enumerate(shares):
        if len(share):
            whole[process :: len(shares)] = share
    return whole.to(own.device)
