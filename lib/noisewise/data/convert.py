"""Image files into a pack's squares: read, decoded, made square, checked and encoded, on every core, in their order."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from noisewise.data.images import Unreadable, check_bytes, decode, from_array, square
from noisewise.runs.config import Prepare

Image = tuple[Path, np.ndarray | None]  # its name, and its pixels where it is no file
Encode = Callable[[np.ndarray], np.ndarray]

NOTHING = np.empty(0, dtype=np.uint8)
CHUNK = 8  # images a task: handing out small images one by one would take longer than converting them
AHEAD = 2  # tasks a core that may be done before their images are written
# What is wrong with a file itself; other errors are the disk's or the network's, and may be gone the next time.
OF_THE_FILE = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENXIO),
}


@dataclass(frozen=True)
class Converted:
    """What an image became, without its pixels.

    stamp: its file's size in bytes and time of change in ns. reason: why it cannot be used; None if it can, and then:
    sha256: of the file, or of an archive's member's pixels. checksum: CRC-32 of the stored bytes.
    mean, square: of the pixels in [0, 255] and of their squares, a channel each. peak: its brightness
    (`images.Decoded`). side: its longer one before, pixels. place: offset and length in the beton, bytes.
    """

    stamp: tuple[int, int]
    reason: str | None = None
    sha256: str = ""
    checksum: int = 0
    mean: tuple[float, ...] = ()
    square: tuple[float, ...] = ()
    peak: float | None = None
    side: int = 0
    place: tuple[int, int] = (0, 0)


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of change of an image's file, or of the archive that it is in; zeros where there is none."""
    try:
        found = os.stat(path)
    except NotADirectoryError:  # below an archive
        return stamp_of(path.parent)
    except (OSError, ValueError):
        return 0, 0
    return found.st_size, found.st_mtime_ns


def convert_all(images: Iterable[Image], run: Prepare, encode: Encode) -> Iterator[tuple[Converted, np.ndarray]]:
    """Each image converted, in order and a bounded number ahead: what it became, and the bytes to store, uint8 [n].

    images: each image's path, with its pixels where it has no file of its own. One that is unusable has no bytes.
    encode: pixels, uint8 [size, size, 3], into the bytes to store.

    Raises:
        OSError: an image cannot be read for a reason that is not its own.
    """
    cores = len(os.sched_getaffinity(0))
    # Decoding, resizing, encoding and hashing release the interpreter's lock.
    with (
        _one_thread_each(),
        _decoders_silent(),
        ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            tasks = _batched(images, CHUNK)
            ahead: deque[Future] = deque(
                pool.submit(_convert, task, run, encode) for task in islice(tasks, AHEAD * cores)
            )
            while ahead:
                found = ahead.popleft().result()
                ahead.extend(pool.submit(_convert, task, run, encode) for task in islice(tasks, 1))
                yield from found
        finally:
            pool.shutdown(cancel_futures=True)


def _batched(items: Iterable[Image], size: int) -> Iterator[tuple[Image, ...]]:
    """`size` items at a time, the last time perhaps fewer (itertools has this from Python 3.12 on)."""
    source = iter(items)
    return iter(lambda: tuple(islice(source, size)), ())


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep OpenCV and torch from spreading an image over the cores: there is one image a core already."""
    of_cv2, of_torch = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(of_cv2)
        torch.set_num_threads(of_torch)


@contextmanager
def _decoders_silent() -> Iterator[None]:
    """Keep PIL and pydicom from warning of odd files, which they do not name: bad ones are listed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL|pydicom")
        yield


def _convert(items: Sequence[Image], run: Prepare, encode: Encode) -> list[tuple[Converted, np.ndarray]]:
    return [_convert_one(*item, run, encode) for item in items]


def _convert_one(path: Path, array: np.ndarray | None, run: Prepare, encode: Encode) -> tuple[Converted, np.ndarray]:
    stamp = stamp_of(path)
    try:
        check_bytes(stamp[0] if array is None else 0)
        pixels, peak, sha256 = _read_file(path, run.intensity) if array is None else _read_array(array)
    except Unreadable as error:
        return Converted(stamp, reason=str(error)), NOTHING
    except ValueError as error:  # a name that no file can have
        return Converted(stamp, reason=str(error)), NOTHING
    except OSError as error:
        if error.errno not in OF_THE_FILE:
            raise
        return Converted(stamp, reason=error.strerror), NOTHING
    side = max(pixels.shape[:2])
    pixels = square(pixels, run.size, run.fit)
    data = encode(pixels)
    mean, std = (values.ravel() for values in cv2.meanStdDev(pixels))
    return Converted(
        stamp=stamp,
        sha256=sha256,
        checksum=zlib.crc32(data),
        mean=tuple(mean.tolist()),
        square=tuple((std**2 + mean**2).tolist()),
        peak=peak,
        side=side,
    ), data


def _read_file(path: Path, intensity: str) -> tuple[np.ndarray, float | None, str]:
    content = path.read_bytes()
    return *decode(content, intensity), hashlib.sha256(content).hexdigest()


def _read_array(array: np.ndarray) -> tuple[np.ndarray, None, str]:
    shape = repr(array.shape).encode()
    return from_array(array), None, hashlib.sha256(shape + np.ascontiguousarray(array).data).hexdigest()
