"""Writing a beton, FFCV's file of images, and finding each sample in it. All that is used of FFCV but its Loader.

FFCV's writer starts processes and waits for ever when one of them fails, on a full disk for example. Here its
one worker runs in this process, so that what goes wrong is raised. Converting, the slow part, was done before.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_uint64
from multiprocessing import Value
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np

from noisewise.errors import RunError

MIN_PAGE = 2 << 20  # bytes; as FFCV wants
IMAGES_A_PAGE = 16  # at least: a page that the next image does not fit in is left unfilled


@contextmanager
def quiet_ffcv() -> Iterator[None]:
    """Let the block use FFCV, which changes torch's number of threads whenever it can.

    Raises:
        RunError: config, if FFCV is not installed.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ffcv":
            raise
        raise RunError(
            "config", "FFCV is not installed", "Type: make setup (or run in the container), then submit again."
        ) from None
    finally:
        torch.set_num_threads(threads)


def write_beton(path: Path, images: Iterator[np.ndarray], count: int, size: int, format: str, quality: int) -> None:
    """Write `count` images, each uint8 [size, size, 3], in their order; what `images` raises passes through.

    format: "raw" or "jpeg" (at `quality`).

    Raises:
        OSError: the disk is full.
    """
    with quiet_ffcv():
        from ffcv.fields import RGBImageField

        field = RGBImageField(write_mode="raw" if format == "raw" else "jpg", jpeg_quality=quality)
        writer = _writer()(str(path), {"image": field}, page_size=page_size(size))
        writer.from_indexed_dataset(_InOrder(images, count))


def page_size(size: int) -> int:
    """Bytes of a page for images of size x size: a power of two, as FFCV wants."""
    return max(MIN_PAGE, 1 << (IMAGES_A_PAGE * size * size * 3 - 1).bit_length())


def locate_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Where each sample's bytes begin in the file and how many they are, both int64 [n].

    Raises:
        OSError: the file ends before a sample does.
    """
    with quiet_ffcv():
        from ffcv.reader import Reader

        reader = Reader(str(path))
    offsets = reader.metadata["f0"]["data_ptr"].astype(np.int64)
    table = reader.alloc_table[np.argsort(reader.alloc_table["sample_id"])]
    if not np.array_equal(table["ptr"], offsets) or (table["ptr"] + table["size"]).max() > path.stat().st_size:
        raise OSError(f"{path} was not written whole")
    return offsets, table["size"].astype(np.int64)


def checksums(memory: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """CRC-32 of each sample's stored bytes, uint32 [n]."""
    spans = zip(offsets.tolist(), sizes.tolist(), strict=True)
    return np.array([zlib.crc32(memory[start : start + length]) for start, length in spans], dtype=np.uint32)


class _InOrder:
    """An iterator as the indexable dataset that the writer wants: it asks for each sample once, in order."""

    def __init__(self, images: Iterator[np.ndarray], count: int) -> None:
        self.images, self.count = images, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (next(self.images),)


def _writer() -> type:
    """FFCV's writer with its one worker in this process; a function, since importing FFCV takes seconds."""
    from ffcv.memory_allocator import MemoryAllocator
    from ffcv.writer import DatasetWriter

    class Writer(DatasetWriter):
        def _write_common(self, num_samples: int, queue_content: Any, work_fn: Any, extra_worker_args: tuple) -> None:
            self.num_samples = num_samples
            self.prepare()
            self.metadata_sm.close()
            self.metadata_sm.unlink()
            self.metadata_sm = SimpleNamespace(buf=bytearray(num_samples * self.metadata_type.itemsize))
            work, allocations = SimpleQueue(), SimpleQueue()
            for chunk in (*queue_content, None):
                work.put(chunk)
            allocator = MemoryAllocator(self.fname, self.data_region_start, self.page_size)
            shared = (work, self.metadata_sm, self.metadata_type, self.fields, allocator)
            work_fn(*shared, Value(c_uint64), allocations, *extra_worker_args)
            self.finalize(allocations.get())

    return Writer
