"""JPEG packs: decoded by FFCV's Loader, whose silent failures become errors here.

What FFCV does, and what is done about it:

- an exception in its thread leaves the reader waiting for ever: the thread is watched, and its exception raised;
- a corrupt JPEG gives the image that the slot held before: every sample's checksum is compared with the pack's;
- leaving an epoch early leaks its thread and its memory: the queue is drained and the thread joined;
- batches are views of a few slots that are used again: they are copied out;
- its kernels must not run in two threads at once, where numba lacks OpenMP: they take turns;
- it sets torch's number of threads, for every thread of the process: here it sets numba's only.

Order and batch are FFCV's only in so far as it decodes a given list in chunks; epochs, seeds and steps are ours.
Compilation takes 3 to 10 seconds once a process.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from noisewise.data.beton import checksums, locate_samples, quiet_ffcv
from noisewise.data.buffers import Buffers
from noisewise.data.pack import Pack, make_again
from noisewise.errors import RunError

CHUNK = 64  # images that FFCV decodes at a time
POLL = 0.2  # seconds between looks at FFCV's thread

with quiet_ffcv():
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.pipeline import PipelineSpec
    from ffcv.pipeline.compiler import Compiler

_kernel = threading.Lock()


def _set_num_threads(count: int) -> None:
    """What FFCV calls when an epoch begins, in the epoch's thread: torch is left as it is."""
    Compiler.num_threads = count
    numba.set_num_threads(count)  # of the calling thread


Compiler.set_num_threads = _set_num_threads


class JpegImages:
    """The images of a JPEG pack; an `ImageSource`."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.pack, self.device = pack, device
        self._again = make_again(pack.folder)
        offsets, sizes = locate_samples(pack.beton)
        if not (np.array_equal(offsets, pack.offsets) and np.array_equal(sizes, pack.sizes)):
            raise RunError("data", f"{pack.beton}: its table of samples is not as it was written", self._again)
        self._memory = np.memmap(pack.beton, np.uint8, "r").view(np.ndarray)
        self._buffers = Buffers((pack.size, pack.size, 3), pinned=device.type == "cuda")
        self._epochs: set[_Epoch] = set()
        self._loader = Loader(
            str(pack.beton),
            batch_size=CHUNK,
            num_workers=len(os.sched_getaffinity(0)),
            pipelines={"image": PipelineSpec("image", decoder=SimpleRGBImageDecoder())},
            drop_last=False,
        )

    def batches(self, steps: Sequence[np.ndarray]) -> Iterator[Tensor]:
        chunks = self._chunks(np.concatenate([*steps, np.empty(0, dtype=np.int64)]))
        chunk, taken = np.empty(0), 0
        try:
            for step in steps:
                images = self._buffers.take(len(step))
                filled = 0
                while filled < len(step):
                    if taken == len(chunk):
                        chunk, taken = next(chunks), 0
                    count = min(len(step) - filled, len(chunk) - taken)
                    images.numpy()[filled : filled + count] = chunk[taken : taken + count]
                    filled, taken = filled + count, taken + count
                yield images.to(self.device, non_blocking=True)
        finally:
            chunks.close()

    def close(self) -> None:
        for epoch in list(self._epochs):
            epoch.leave()

    def _chunks(self, order: np.ndarray) -> Iterator[np.ndarray]:
        """The samples of `order`, uint8 [n, S, S, 3], CHUNK at a time; asking for more overwrites what was given."""
        if not len(order):
            return
        epoch = _Epoch(self._loader, order.astype(np.uint64))
        self._epochs.add(epoch)
        try:
            for start in range(0, len(order), CHUNK):
                samples = order[start : start + CHUNK]
                images = epoch.take()
                self._check(samples, images)
                yield images
        finally:
            epoch.leave()
            self._epochs.discard(epoch)

    def _check(self, samples: np.ndarray, images: np.ndarray) -> None:
        """Raise unless these images are those samples, from bytes that are as they were written."""
        pack = self.pack
        if images.shape != (len(samples), pack.size, pack.size, 3):
            raise RunError("data", f"FFCV gave {images.shape} for {len(samples)} images of {pack.size} px", self._again)
        held = checksums(self._memory, pack.offsets[samples], pack.sizes[samples])
        if len(odd := samples[held != pack.checksums[samples]]):
            raise RunError("data", f"{pack.beton}: image {odd[0]} is not as it was written", self._again)


class _Epoch(EpochIterator):
    """FFCV's decoding thread, with a way to hear of its failure and a way to end it."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:
            self.error = error

    def run_pipeline(self, *args: Any) -> Any:
        with _kernel:
            return super().run_pipeline(*args)

    def take(self) -> np.ndarray:
        """The next chunk, a view of a slot.

        Raises:
            RunError: bug; the thread ended without one.
        """
        while True:
            try:
                found = self.output_queue.get(timeout=POLL)
            except queue.Empty:
                if self.is_alive() or not self.output_queue.empty():
                    continue
                found = None
            if found is None:
                raise RunError(
                    "bug",
                    f"FFCV's decoding thread ended early: {self.error!r}",
                    "Prepare the dataset with format: raw, which does without FFCV's Loader.",
                ) from self.error
            _, (images,) = found
            return images

    def leave(self) -> None:
        """End the thread, whatever it is at, and let go of its memory."""
        self.close()
        while self.is_alive():
            try:
                self.output_queue.get_nowait()
            except queue.Empty:
                self.join(timeout=0.01)
        self.memory_allocations = None
