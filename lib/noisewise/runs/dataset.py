"""What a run holds of its dataset's file: where images come from, how they are split, and what leaves labels true."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """Where a dataset's images and labels come from.

    kind: the reader (`noisewise.data.readers`).
    root: the folder, relative to the data folder (or absolute). For "csv", "parquet" and "medmnist": the file's path.
    image, label, split, patient, clean_label: column names, for tables. For folders, `patient` is where the patient
        stands: "dicom" (in each file's header), or a regular expression that finds it in the path below the root.
    """

    kind: str = "folder"
    root: str = ""
    image: str = "image"
    label: str = "label"
    split: str | None = None
    patient: str | None = None
    clean_label: str | None = None


@dataclass(frozen=True)
class Split:
    """What is cut from a dataset without an official split: shares of all images (or patients), and the seed."""

    val: float = 0.15
    test: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Normalise:
    """Mean and standard deviation per RGB channel of inputs in [0, 1]; ImageNet's unless said otherwise."""

    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Invariance:
    """Which changes leave this modality's labels true; augmentation stays within them.

    hflip, vflip: mirror images with probability 1/2. rotate: degrees either way. colour: whether jitter, grey,
    blur and solarisation may be used.
    """

    hflip: bool = True
    vflip: bool = False
    rotate: float = 0.0
    colour: bool = True
