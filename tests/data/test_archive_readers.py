"""Readers whose images lie one after the other within archives: MedMNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import random
import struct
import tracemalloc
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import FashionMNIST

from noisewise.data.readers import chunks, fashion_mnist, read
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

COUNTS = {"train": 23, "val": 5, "test": 11}
ORDER = ("test", "train", "val")


def arrays(shape=(28, 28, 3), classes=3) -> dict[str, np.ndarray]:
    """What an archive of MedMNIST's holds."""
    rng, found = np.random.default_rng(0), {}
    for split, count in COUNTS.items():
        found[f"{split}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        found[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % classes
    return found


def medmnist(path: Path, save=np.savez, **changes) -> Table:
    """The table of an archive with some of its arrays changed, or left out where they are None."""
    values = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
    save(path / "some.npz", **values)
    return read(Source("medmnist", "some.npz"), path)


def idx(path: Path, values: np.ndarray, magic: int | None = None) -> None:
    """An array in MNIST's format, compressed where the path says so."""
    header = struct.pack(f">{1 + values.ndim}I", magic or 2048 + values.ndim, *values.shape)
    content = header + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def fashion(folder: Path, suffix: str = ".gz") -> dict[str, np.ndarray]:
    """Four small files of Fashion-MNIST's kind; what is in them."""
    rng, found = np.random.default_rng(1), {}
    for prefix, count in (("train", 40), ("t10k", 20)):
        found[f"{prefix}-images"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        found[f"{prefix}-labels"] = rng.permutation(np.arange(count, dtype=np.uint8) % 10)
        idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", found[f"{prefix}-images"])
        idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", found[f"{prefix}-labels"])
    return found


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (3, 3), (64, 48, 3)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_medmnist_streams_its_images_in_the_order_of_the_table(tmp_path, monkeypatch, shape, save):
    monkeypatch.setattr(chunks, "CHUNK", 5000)  # so that several chunks make a split
    values = arrays(shape)
    found = medmnist(tmp_path, save, **values)
    assert found.images == sorted(found.images, key=Path.as_posix)
    assert found.names[:2] == ["test/0000000", "test/0000001"]
    assert found.images[-1] == tmp_path / "some.npz/val/0000004"
    assert found.split == [split for split in ORDER for _ in range(COUNTS[split])]
    assert found.classes == ["0", "1", "2"] and found.patients is None
    assert found.labels.tolist() == np.concatenate([values[f"{split}_labels"][:, 0] for split in ORDER]).tolist()
    images = list(found.stream(0))
    assert np.array_equal(images, np.concatenate([values[f"{split}_images"] for split in ORDER]))
    assert all(image.dtype == np.uint8 and image.flags.writeable for image in images)


def test_medmnist_with_training_and_test_images_only(tmp_path):
    whole = arrays()
    found = medmnist(tmp_path, val_images=None, val_labels=None)
    assert set(found.split) == {"train", "test"}
    order = np.concatenate([whole["test_images"], whole["train_images"]])
    assert all((one == other).all() for one, other in zip(found.stream(0), order, strict=True))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stream_starts_anywhere(tmp_path, monkeypatch, save):
    monkeypatch.setattr(chunks, "CHUNK", 5000)
    found = medmnist(tmp_path, save)
    images = list(found.stream(0))
    for start in (1, 10, 11, 12, 33, 34, 38):
        assert np.array_equal(list(found.stream(start)), images[start:])
    assert not list(found.stream(39))


def test_two_streams_do_not_disturb_each_other(tmp_path):
    found = medmnist(tmp_path)
    images, one, other = list(found.stream(0)), found.stream(0), found.stream(20)
    assert all(
        np.array_equal(next(one), images[row]) and np.array_equal(next(other), images[20 + row]) for row in range(19)
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_medmnist_never_holds_an_array_of_images(tmp_path, save):
    """60 MB of images; of each chunk there are two copies at a time."""
    images = np.tile(np.arange(200, dtype=np.uint8)[:, None, None, None], (2, 224, 224, 3))
    tracemalloc.start()
    save(tmp_path / "some.npz", **{**arrays(), "train_images": images, "train_labels": np.arange(400)[:, None] % 3})
    tracemalloc.reset_peak()
    held = tracemalloc.get_traced_memory()[0]
    found = read(Source("medmnist", "some.npz"), tmp_path)
    values = [int(image[0, 0, 0]) for image in islice(found.stream(11), 400)]
    last = next(islice(found.stream(410), 1))
    peak = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    assert values == [*range(200)] * 2 and (last == 199).all()
    assert peak < 6 * chunks.CHUNK


def test_medmnist_without_validation_images_and_with_flat_labels(tmp_path):
    empty = {"val_images": np.zeros((0, 28, 28, 3), np.uint8), "val_labels": np.zeros((0, 1), np.uint8)}
    found = medmnist(tmp_path, **empty, test_labels=np.arange(11) % 3)
    assert set(found.split) == {"train", "test"} and len(list(found.stream(11))) == 23


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"val_images": None}, "has no array val_images; it has train_images, "),
        ({"test_labels": None}, "has no array test_labels"),
        ({"train_labels": np.zeros((23, 14), np.uint8)}, "14 labels an image.*multi-label"),
        ({"train_images": np.zeros((23, 28, 28, 28), np.uint8)}, r"\[23, 28, 28, 28\]: these are volumes"),
        ({"test_images": np.zeros((11, 28, 28, 28, 1), np.uint8)}, "test_images has the shape .* volumes"),
        ({"train_images": np.zeros((23, 28, 28), np.float32)}, "is float32 .*, not uint8"),
        ({"train_images": np.zeros((23, 784), np.uint8)}, r"is uint8 \[23, 784\], not"),
        ({"train_images": np.zeros((23, 0, 28), np.uint8)}, r"\[23, 0, 28\], not"),
        ({"train_labels": np.zeros((22, 1), np.uint8)}, r"uint8 \[22, 1\], not whole numbers \[23, 1\]"),
        ({"train_labels": np.zeros((23, 1))}, "float64"),
        ({"train_labels": np.array([[None]] * 23)}, "train_labels holds Python objects, which are not loaded"),
        ({"val_images": np.array([None] * 5)}, "val_images holds Python objects"),
        ({"train_images": np.asfortranarray(arrays()["train_images"])}, "stored by column.*ascontiguousarray"),
        ({f"{split}_labels": np.zeros((count, 1), int) for split, count in COUNTS.items()}, "one class, '0'"),
    ],
)
def test_medmnist_with_other_arrays(tmp_path, changes, words):
    with pytest.raises(RunError, match=words) as error:
        medmnist(tmp_path, **changes)
    assert error.value.kind == "data" and "some.npz" in error.value.message and error.value.advice


def damaged(whole: bytes) -> dict[str, bytes]:
    return {"empty": b"", "text": b"image,label\n", "cut short": whole[: len(whole) // 2], "array": whole[66:2000]}


@pytest.mark.parametrize("damage", damaged(b""))
def test_medmnist_that_is_no_archive(tmp_path, damage):
    medmnist(tmp_path)
    path = tmp_path / "some.npz"
    path.write_bytes(damaged(path.read_bytes())[damage])
    with pytest.raises(RunError, match="some.npz is not a whole archive") as error:
        read(Source("medmnist", "some.npz"), tmp_path)
    assert error.value.kind == "data" and "10519652" in error.value.advice


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_medmnist_with_a_changed_byte_fails_when_it_is_read(tmp_path, save):
    found = medmnist(tmp_path, save, train_images=np.full((23, 28, 28, 3), 7, np.uint8))
    path = tmp_path / "some.npz"
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("train_images.npy")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 60 + member.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RunError, match="some.npz is not a whole archive") as error:
        list(found.stream(0))
    assert error.value.kind == "data"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_medmnist_with_any_byte_changed_is_read_or_refused(tmp_path, save):
    medmnist(tmp_path, save, **arrays((3, 3)))
    path, outcomes, rng = tmp_path / "some.npz", set(), random.Random(0)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            outcomes.add(len(list(read(Source("medmnist", "some.npz"), tmp_path).stream(0))))
        except RunError as error:
            outcomes.add(error.kind)
    assert outcomes == {"data", sum(COUNTS.values())}


def test_medmnist_with_fewer_values_than_its_header_says(tmp_path):
    medmnist(tmp_path)
    with zipfile.ZipFile(tmp_path / "some.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["train_images.npy"] = members["train_images.npy"][:-1]
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match=f"train_images has {23 * 2352 - 1} bytes of values instead of {23 * 2352}"):
        read(Source("medmnist", "some.npz"), tmp_path)


def test_missing_medmnist_says_where_to_get_it(tmp_path):
    with pytest.raises(RunError, match="there is no archive .*pathmnist.npz") as error:
        read(Source("medmnist", "pathmnist.npz"), tmp_path)
    assert all(word in error.value.advice for word in ("medmnist.com", "10519652", "CC BY 4.0", "CC BY-NC 4.0"))


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_fashion_mnist_is_read_as_torchvision_reads_it(tmp_path, suffix):
    fashion(tmp_path / "FashionMNIST/raw", ""), fashion(tmp_path / "mine", suffix)
    halves = [FashionMNIST(tmp_path, train=False), FashionMNIST(tmp_path)]
    found = read(Source("fashion_mnist", "mine"), tmp_path)
    assert found.images == sorted(found.images, key=Path.as_posix)
    assert found.images[19] == tmp_path / f"mine/t10k-images-idx3-ubyte{suffix}/0000019"
    assert found.images[20] == tmp_path / f"mine/train-images-idx3-ubyte{suffix}/0000000"
    assert found.split == ["test"] * 20 + ["train"] * 40
    assert np.array_equal(list(found.stream(0)), np.concatenate([half.data for half in halves]))
    names = [half.classes[target].split("/")[0] for half in halves for target in half.targets]
    assert [found.classes[label] for label in found.labels] == names and len(found.classes) == 10


def test_fashion_mnist_streams_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    values = fashion(tmp_path)
    found = read(Source("fashion_mnist", str(tmp_path)), tmp_path)
    images = np.concatenate([values["t10k-images"], values["train-images"]])
    for start in (0, 1, 19, 20, 21, 59):
        assert np.array_equal(list(found.stream(start)), images[start:])
    assert not list(found.stream(60)) and next(found.stream(0)).flags.writeable


@pytest.mark.parametrize("name", ["train-images-idx3", "t10k-labels-idx1"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "there is no .*{name}-ubyte.gz"),
        (lambda whole: b"", "{name}-ubyte.gz is damaged"),
        (lambda whole: b"not compressed", "{name}-ubyte.gz is damaged"),
        (lambda whole: whole[: len(whole) // 2], "{name}-ubyte.gz is damaged"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:-1]), "{name}-ubyte.gz has .* bytes of values instead of"),
        (lambda whole: gzip.compress(gzip.decompress(whole) + b"x"), "{name}-ubyte.gz has .* bytes of values instead"),
        (lambda whole: gzip.compress(b"\0\0\r\1" + gzip.decompress(whole)[4:]), "its first number is 3329, not 20"),
    ],
)
def test_fashion_mnist_that_is_damaged(tmp_path, name, change, words):
    fashion(tmp_path)
    path = tmp_path / f"{name}-ubyte.gz"
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RunError, match=words.format(name=name)) as error:
        read(Source("fashion_mnist", str(tmp_path)), tmp_path)
    assert error.value.kind == "data" and "apt-get install dataset-fashion-mnist" in error.value.advice


@pytest.mark.parametrize(
    ("labels", "words"),
    [(np.zeros(39, np.uint8), "39 labels for 40 images"), (np.full(40, 10, np.uint8), "has the label 10")],
)
def test_fashion_mnist_with_other_labels(tmp_path, labels, words):
    fashion(tmp_path)
    idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    with pytest.raises(RunError, match=words) as error:
        read(Source("fashion_mnist", str(tmp_path)), tmp_path)
    assert "train-labels" in error.value.message


def test_absent_fashion_mnist_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    with pytest.raises(RunError, match="there is no .*nowhere/t10k-images-idx3-ubyte.gz") as error:
        read(Source("fashion_mnist"), tmp_path)
    assert "apt-get install dataset-fashion-mnist" in error.value.advice and "MIT" in error.value.advice


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_as_published(tmp_path):
    found = read(Source("fashion_mnist"), tmp_path)
    split = np.array(found.split)
    assert np.bincount(found.labels[split == "train"]).tolist() == [6000] * 10
    assert np.bincount(found.labels[split == "test"]).tolist() == [1000] * 10
    total, square, count = 0, 0, 0
    for image in islice(found.stream(10_000), 60_000):
        total, square, count = total + image.sum(dtype=int), square + (image.astype(int) ** 2).sum(), count + image.size
    mean = total / count
    assert count == 60_000 * 28 * 28
    assert round(mean / 255, 4) == 0.2860 and round((square / count - mean**2) ** 0.5 / 255, 4) == 0.3530
    assert found.classes[found.labels[split == "train"][0]] == "Ankle boot"
