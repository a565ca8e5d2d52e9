"""Large images made smaller before anything else, and kept so: to decode a photograph costs more than all the rest."""

import hashlib
import io
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ltzoo.data.files.image_files import ImageFiles
from ltzoo.errors import InputError


class ResizedImages:
    """A split whose images have at most so many pixels on their shorter side.

    What is kept is the smaller image as it is, without loss, so that an image is the same with and without the cache;
    it is found by the content of the file that it was made of.

    Args:
        files: the split.
        shorter_side: pixels; a smaller image stays as it is.
        cache: the folder that keeps them, three bytes a pixel; None to make them anew each time.
    """

    def __init__(self, files: ImageFiles, shorter_side: int, cache: Path | None) -> None:
        self.files, self.shorter_side, self.cache = files, shorter_side, cache
        self.labels = files.labels

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Image.Image:
        """Decode an image, see `ImageFiles.image`.

        Raises:
            InputError: it cannot be read, or the cache cannot be written.
        """
        if self.cache is None:
            return self._shrink(self.files.image(index))
        stored = self.files.content(index)
        key = hashlib.sha256(stored).hexdigest()
        kept = self.cache / f"shorter{self.shorter_side}" / key[:2] / f"{key}.npy"
        image = _read(kept)
        if image is None:
            image = self._shrink(self.files.decoded(index, stored))
            self._keep(image, kept)
        return image

    def _keep(self, image: Image.Image, kept: Path) -> None:
        content = io.BytesIO()
        np.save(content, np.asarray(image))
        # Workers, and runs on other machines, can meet one image at once; each writes a file of its own, and the last
        # one stays.
        fresh = kept.with_name(f".{kept.stem}.{secrets.token_hex(8)}")
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content.getvalue())
            fresh.replace(kept)
        except OSError as error:
            raise InputError(
                f"the image cache {self.cache} cannot be written ({error.strerror}); make room, or name another folder"
            ) from error
        finally:
            with suppress(OSError):
                fresh.unlink()

    def _shrink(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        if shorter <= self.shorter_side:
            return image
        size = (max(self.shorter_side, round(side * self.shorter_side / shorter)) for side in image.size)
        return image.resize(tuple(size), Image.Resampling.BICUBIC)  # type: ignore[arg-type]  # two of them


def _read(kept: Path) -> Image.Image | None:
    """Read what is kept; None where nothing is, or not all of it, as after a power failure."""
    try:
        return Image.fromarray(np.load(kept))
    except (OSError, ValueError, EOFError, TypeError):
        return None
