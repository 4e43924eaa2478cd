"""Does the installed FFCV work? Writes and reads a few images, raw and as JPEG, with FFCV's own writer and loader."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore", DeprecationWarning)  # FFCV uses a private name of numpy

SIZE, COUNT = 24, 10
TOLERANCE = {"raw": 0, "jpg": 24}  # JPEG loses: at quality 95, up to this many of 255 levels on smooth images


class Gradients:
    """A dataset of smooth images whose label is their index."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        ramp = np.linspace(0, 255, SIZE)
        red, green = np.meshgrid(ramp, ramp)
        return np.stack([red, green, np.full_like(red, 25 * index)], axis=-1).astype(np.uint8), index


def round_trip(path: Path, mode: str) -> int:
    """The greatest difference, in levels of 255, between the images written to `path` and those read back."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    from ffcv.writer import DatasetWriter

    images = Gradients()
    fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=95), "label": IntField()}
    DatasetWriter(str(path), fields, num_workers=1).from_indexed_dataset(images)
    pipelines = {"image": [SimpleRGBImageDecoder(), ToTensor()], "label": [IntDecoder(), ToTensor()]}
    order = OrderOption.SEQUENTIAL
    loader = Loader(str(path), 4, num_workers=1, order=order, drop_last=False, pipelines=pipelines)
    worst, seen = 0, []
    for pixels, labels in loader:
        for image, index in zip(pixels.numpy(), labels.flatten().tolist(), strict=True):
            worst = max(worst, int(np.abs(image.astype(int) - images[index][0]).max()))
            seen.append(index)
    assert seen == list(range(COUNT)), f"FFCV returned the labels {seen}"
    return worst


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for mode, tolerance in TOLERANCE.items():
            worst = round_trip(Path(folder) / f"{mode}.beton", mode)
            if worst > tolerance:
                sys.exit(f"FFCV does not work here: {mode} images come back {worst} levels off (allowed: {tolerance}).")


if __name__ == "__main__":
    main()
