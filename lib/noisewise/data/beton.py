"""Writing a beton, FFCV's file of images, page by page; and finding each sample in it. All of FFCV but its Loader.

FFCV's own writer starts processes, waits for ever when one of them fails, and cannot go on with a file that was cut
off. Here its header, its pages and its tables are used, and nothing else: what goes wrong is raised, and a file can be
continued behind its last whole page. Decoding and encoding, the slow part, are done before.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

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


class BetonWriter:
    """Appends images of one size to a beton and, at the end, writes the tables that make it one.

    pages: whole pages that are in the file and stay there; what follows them is cut off. 0 begins a new file.
    capacity: how many images there may be at most; with another capacity, a file cannot be continued.
    """

    def __init__(self, path: Path, capacity: int, size: int, format: str, pages: int = 0) -> None:
        with quiet_ffcv():
            from ffcv.fields import RGBImageField
            from ffcv.fields.rgb_image import IMAGE_MODES
            from ffcv.memory_allocator import MemoryAllocator
            from ffcv.writer import DatasetWriter

        field = RGBImageField(write_mode="raw" if format == "raw" else "jpg")
        self._side, self._mode = size, IMAGE_MODES[field.write_mode]
        self._writer = DatasetWriter(str(path) if not pages else os.devnull, {"image": field}, page_size(size))
        self._writer.num_samples = capacity
        self._writer.prepare()  # the header, into a new file
        self._writer.fname = str(path)
        self._writer.metadata_sm.close()
        self._writer.metadata_sm.unlink()
        self._allocator = MemoryAllocator(str(path), self._writer.data_region_start, page_size(size))
        self._allocator.next_page_allocated.value = self._allocator.next_page_written.value = pages
        if pages:
            os.truncate(path, self.end)
        self._allocator.__enter__()

    @property
    def pages(self) -> int:
        """Whole pages in the file."""
        return self._allocator.next_page_written.value

    @property
    def end(self) -> int:
        """Where the last whole page ends, bytes."""
        return self._allocator.offset + self.pages * self._allocator.page_size

    def append(self, data: np.ndarray) -> int:
        """Add an image's bytes, uint8 [n]; returns where in the file they stand, once their page is written.

        Raises:
            OSError: the disk is full.
        """
        before = self.pages
        offset, room = self._allocator.malloc(data.size)
        self._allocator.allocations.clear()  # the places are kept by whom they are returned to
        room[:] = data
        if self.pages > before:
            self._check_written()
        return int(offset)

    def finish(self, places: Sequence[tuple[int, int]]) -> None:
        """Write the last page and the tables; places: offset and length in bytes of each sample, in order.

        Raises:
            OSError: the disk is full.
        """
        self.flush()
        writer = self._writer
        table = np.zeros(len(places), dtype=writer.metadata_type)
        samples = table["f0"]
        samples["mode"], samples["width"], samples["height"] = self._mode, self._side, self._side
        samples["data_ptr"] = [offset for offset, _ in places]
        writer.header["num_samples"] = len(places)
        writer.metadata_sm = SimpleNamespace(buf=table.tobytes())
        writer.finalize([(number, *place) for number, place in enumerate(places)])

    def flush(self) -> None:
        """Write the page that is being filled."""
        self._allocator.flush_page()
        self._allocator.my_page = -1
        self._check_written()

    def close(self) -> None:
        """Close the file; what stands in a page that was not written is lost."""
        self._allocator.fp.close()

    def _check_written(self) -> None:
        """FFCV does not look whether all of a page went to the disk."""
        held = os.path.getsize(self._writer.fname)
        if held < self.end and self.pages:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._writer.fname)


def encoder(format: str, quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """What turns an image, uint8 [size, size, 3], into the bytes that a beton holds of it, uint8 [n]."""
    if format == "raw":
        return lambda pixels: pixels.reshape(-1)
    with quiet_ffcv():
        from ffcv.fields.rgb_image import encode_jpeg
    return partial(encode_jpeg, quality=quality)


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
