"""The batches of a run that is trained on features, which are computed once, in place of images."""

from collections.abc import Callable, Iterable

from torch import Tensor

from ltzoo.data.batches import BatchSettings, Delivery, FeatureBatches, epoch_sizes, share_of_features
from ltzoo.evaluate import weights_key
from ltzoo.train.feature_cache import PLAIN, FeatureSource
from ltzoo.train.preparation import Preparation


def feature_source(prepared: Preparation, delivery: Delivery, say: Callable[[str], None]) -> FeatureSource:
    """Return what computes or reads the features of a run's images.

    Args:
        prepared: the run, with the model and its weights.
        delivery: the device, and this process's share.
        say: called with what is worth telling.
    """
    return FeatureSource(
        prepared.model,
        weights_key(prepared.model),
        prepared.images.benchmark.data_set,
        prepared.options.hold_out,
        delivery,
        prepared.accelerator,
        prepared.options.cache_features,
        say,
    )


def feature_batches(
    prepared: Preparation, delivery: Delivery, say: Callable[[str], None]
) -> tuple[FeatureBatches, Iterable[tuple[Tensor, Tensor]]]:
    """Compute the features of all images of a run, and return the batches to train and to measure on.

    Args:
        prepared: the run, with the model and its weights.
        delivery: the device, and this process's share.
        say: called with what is worth telling.
    """
    source, recipe, images = feature_source(prepared, delivery, say), prepared.recipe, prepared.images
    train, measured = source.get(images.train, "train"), source.get(images.measured, "measured")
    settings = BatchSettings(
        images.benchmark.data_set, (PLAIN,), recipe.batch_size, prepared.options.seed, recipe.sampler
    )
    sizes = epoch_sizes(images.train, settings)
    epochs = recipe.schedule.epochs
    say(
        f"augmented images would need their features anew in each of {epochs} epochs, about "
        f"{epochs * train.seconds:.0f} s instead of {train.seconds:.1f} s once"
    )
    return (
        FeatureBatches(train.features, train.labels, settings, delivery, sizes),
        share_of_features(measured.features, measured.labels, delivery),
    )
