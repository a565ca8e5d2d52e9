"""What several processes measured, put together: each image once, in its order."""

import torch.distributed as dist
from torch import Tensor


def gather(own: Tensor) -> Tensor:
    """Put the shares of all processes of the default group together; without such a group, the share is the whole.

    Nothing is padded and no image comes twice, so what is measured does not depend on the number of processes.

    Args:
        own: (N_p, ...), what this process, p of P, has of the images p, p + P, p + 2P and so on. N_p may be 0, as it is
            where there are fewer images than processes.

    Returns:
        (N, ...) of all images in their order, on every process and on the device of `own`.

    Raises:
        ValueError: the shares, which all processes see, are not of these images.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return own
    shares: list = [None] * dist.get_world_size()
    # Objects go through NCCL as well as through gloo. A clone, since a view is sent with all that it is a view of.
    dist.all_gather_object(shares, own.detach().cpu().clone())
    lengths = list(map(len, shares))
    images = sum(lengths)
    if lengths != [len(range(process, images, len(shares))) for process in range(len(shares))]:
        raise ValueError(f"the processes have {lengths} images; process p of P must have p, p + P, p + 2P and so on")
    first = shares[0]  # who has no image may not know the shape of one
    whole = first.new_empty((images, *first.shape[1:]))
    for process, share in enumerate(shares):
        if len(share):
            whole[process :: len(shares)] = share
    return whole.to(own.device)
