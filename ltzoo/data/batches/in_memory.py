"""Batches of images in memory: whole batches of uint8 images are augmented on the device, without workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches.settings import BatchSettings, Delivery, batch_sizes
from ltzoo.data.benchmarks import DataSet
from ltzoo.data.memory import LabelledImages
from ltzoo.data.seeding import RandomStream, seeded_generator

_FURTHER_VIEWS = (RandomStream.VIEWS, RandomStream.PARTNER_VIEWS)
"""Of each further view of the images, and of their partners."""


def pad(images: Tensor, padding: int) -> Tensor:
    """Add `padding` black pixels on each side of (N, H, W, channels) images."""
    return F.pad(images, (0, 0, padding, padding, padding, padding)).contiguous()


def draw_crops(count: int, augmentation: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the crops and flips of `count` images.

    Returns:
        First rows and columns of the crops, (count,) int64 in 0 .. 2 * padding, and flips, (count,) bool. The
        distribution is that of torchvision's `RandomCrop(size, padding)` and `RandomHorizontalFlip()`.
    """
    rows, columns = torch.randint(2 * augmentation.crop_padding + 1, (2, count), generator=generator)
    flips = torch.rand(count, generator=generator) < 0.5
    return rows, columns, flips if augmentation.horizontal_flip else torch.zeros_like(flips)


def crop_and_flip(padded: Tensor, chosen: Tensor, rows: Tensor, columns: Tensor, flips: Tensor, size: int) -> Tensor:
    """Crop and flip the chosen images in one gather.

    Args:
        padded: (N, H + 2p, W + 2p, channels) padded images, contiguous.
        chosen: (B,) their indices.
        rows: (B,) first row of each crop.
        columns: (B,) first column of each crop.
        flips: (B,) bool.
        size: height and width of the crops.

    Returns:
        (B, size, size, channels), in the dtype of `padded`.
    """
    steps = torch.arange(size, device=padded.device)
    across = torch.where(flips[:, None], size - 1 - steps, steps)
    _, height, width, channels = padded.shape
    # One index per pixel: to select rows of a matrix is several times faster than to index three dimensions.
    lines = (chosen[:, None] * height + rows[:, None] + steps) * width
    pixels = lines[:, :, None] + (columns[:, None] + across)[:, None, :]
    return padded.view(-1, channels).index_select(0, pixels.flatten()).view(*pixels.shape, channels)


def draw_alternating(count: int, seed: int) -> Tensor:
    """Draw which images are mirrored in the epochs 0, 2, 4, ...; the others are in 1, 3, 5, ...; (count,) bool."""
    return torch.rand(count, generator=seeded_generator(seed, RandomStream.MIRRORED)) < 0.5


def cut_out(images: Tensor, side: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Black out a square of each image (DeVries 2017).

    Args:
        images: (B, H, W, channels).
        side: height and width of the square.
        rows: (B,) row of its centre: it covers the rows from `row - side // 2` on, as far as the image has them.
        columns: (B,) column of its centre.

    Returns:
        A copy with zeros in the squares.
    """
    within = []
    for length, centres in ((images.shape[1], rows), (images.shape[2], columns)):
        offsets = torch.arange(length, device=images.device) - (centres[:, None] - side // 2)
        within.append((offsets >= 0) & (offsets < side))
    inside = within[0][:, :, None, None] & within[1][:, None, :, None]
    return images.masked_fill(inside, 0)


class Normalizer:
    """uint8 (B, H, W, channels) to normalised float32 (B, channels, size, size).

    Images of another size than the data set's `image_size` are resized as a whole: on a CPU to the pixels that Pillow
    gives, up to one grey level; a GPU does not round between the passes along rows and columns, as both do.
    """

    def __init__(self, data_set: DataSet, device: torch.device, channels_last: bool = False) -> None:
        # (W, channels): a row of pixels is one vector to torch, while arithmetic along three channels alone is slow.
        self.mean, self.std = (
            (torch.tensor(values, device=device) * 255).repeat(data_set.image_size, 1)
            for values in (data_set.mean, data_set.std)
        )
        self.channels_last = channels_last
        self.size, self.interpolation = data_set.image_size, InterpolationMode(data_set.interpolation)

    def __call__(self, images: Tensor) -> Tensor:
        """Resize and normalise a batch."""
        if images.shape[1:3] != (self.size, self.size):
            images = resize(images.permute(0, 3, 1, 2), [self.size, self.size], self.interpolation).permute(0, 2, 3, 1)
        normalized = ((images - self.mean) / self.std).permute(0, 3, 1, 2)
        return normalized if self.channels_last else normalized.contiguous()


@dataclass(frozen=True)
class _Drawn:
    """What is drawn for one view of the M images of an epoch, in their order.

    Attributes:
        rows: (M,) first row of each crop.
        columns: (M,) first column of each crop.
        flips: (M,) bool.
        squares: (2, M) centres of the squares that Cutout blacks out; unused without it.
    """

    rows: Tensor
    columns: Tensor
    flips: Tensor
    squares: Tensor

    def to(self, device: torch.device) -> "_Drawn":
        """Copy all of it to a device."""
        return _Drawn(*(getattr(self, name).to(device) for name in ("rows", "columns", "flips", "squares")))


class TrainBatches:
    """Shuffled, augmented batches. The last, smaller batch of an epoch is kept.

    Attributes:
        labels: (N,) int64, on the device.
        sizes: number of images in each batch of an epoch, over all processes.

    Args:
        data: the training images.
        settings: what describes the batches; of each view's augmentation, crop, flip and cutout are applied.
        delivery: where the batches go; the images are kept there too.
    """

    def __init__(self, data: LabelledImages, settings: BatchSettings, delivery: Delivery) -> None:
        device = delivery.device
        # Views with the same padding share one copy.
        self.padded = {
            padding: pad(data.images, padding).to(device) for padding in {view.crop_padding for view in settings.views}
        }
        self.labels = data.labels.to(device)
        self.classes, self.size = data.labels, data.images.shape[1]
        images = settings.sampler.length(len(self.labels), settings.batch_size)
        self.sizes = batch_sizes(images, settings.batch_size, joined=False)
        self.settings, self.delivery = settings, delivery
        self.mirrored_first = draw_alternating(len(self.labels), settings.seed)
        self.normalize = Normalizer(settings.data_set, device, delivery.channels_last)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch.

        Args:
            epoch: from 0.
            first: the batch to begin with; the earlier ones are left out, and the others stay what they are.

        Yields:
            Images (B, channels, H, W) float32 and labels (B,) int64, on the device; with V > 1 views of each image
            (B, V, channels, H, W). With partners (B, 2V, channels, H, W), the views of each image and then those of its
            partner, and the labels (B, 2) of both.
        """
        settings = self.settings
        streams = [
            self._stream(order, epoch, generator, further)
            for (order, generator), further in zip(settings.streams(self.classes, epoch), _FURTHER_VIEWS, strict=False)
        ]
        for end, count in islice(zip(accumulate(self.sizes), self.sizes, strict=True), first, None):
            part = slice(end - count + self.delivery.process, end, self.delivery.processes)
            views = [
                self._view(view, drawn, order, part)
                for order, of_views in streams
                for view, drawn in zip(settings.views, of_views, strict=True)
            ]
            if len(views) == 1:
                images = self.normalize(views[0])
            else:
                images = self.normalize(torch.stack(views, dim=1).flatten(0, 1)).unflatten(0, (-1, len(views)))
            labels = [self.labels[order[part]] for order, _ in streams]
            yield images, labels[0] if len(labels) == 1 else torch.stack(labels, dim=1)

    def _stream(
        self, order: Tensor, epoch: int, generator: torch.Generator, further: RandomStream
    ) -> tuple[Tensor, list[_Drawn]]:
        """Draw each view of the images of an epoch; returns the order and the views, on the device.

        Args:
            order: (M,) indices of the images.
            epoch: from 0.
            generator: of the first view.
            further: random stream of the other views.
        """
        settings, device = self.settings, self.delivery.device
        drawn = [self._draw(settings.views[0], order, epoch, generator).to(device)]
        for number, view in enumerate(settings.views[1:], 1):
            # Of its own generator, so that a view does not depend on those before it.
            own = seeded_generator(settings.seed, epoch, further, number)
            drawn.append(self._draw(view, order, epoch, own).to(device))
        return order.to(device), drawn

    def _draw(self, view: Augmentation, order: Tensor, epoch: int, generator: torch.Generator) -> _Drawn:
        """Draw a view of the images of an epoch."""
        rows, columns, flips = draw_crops(len(order), view, generator)
        if view.alternate_flip:
            flips = self.mirrored_first[order] ^ bool(epoch % 2)
        centres = torch.randint(self.size, (2, len(order)), generator=generator) if view.cutout else rows.expand(2, -1)
        return _Drawn(rows, columns, flips, centres)

    def _view(self, view: Augmentation, drawn: _Drawn, order: Tensor, part: slice) -> Tensor:
        """Make a view of the images of a batch, (B, H, W, channels) uint8."""
        padded = self.padded[view.crop_padding]
        images = crop_and_flip(padded, order[part], drawn.rows[part], drawn.columns[part], drawn.flips[part], self.size)
        return cut_out(images, view.cutout, *drawn.squares[:, part]) if view.cutout else images


class EvalBatches:
    """The images in their stored order, not augmented.

    Args:
        data: the images.
        data_set: normalisation.
        batch_size: images per batch.
        device: where the images are kept; the CPU unless given.
        channels_last: memory format of the batches.
    """

    def __init__(
        self,
        data: LabelledImages,
        data_set: DataSet,
        batch_size: int = 500,
        device: torch.device | None = None,
        channels_last: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.images = data.images.to(self.device)
        self.labels = data.labels.to(self.device)
        self.batch_size = batch_size
        self.normalize = Normalizer(data_set, self.device, channels_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for begin in range(0, len(self.labels), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self.normalize(self.images[part]), self.labels[part]
