"""Turn a dataset's images into a pack: python jobs/prepare.py dataset=NAME [data=DIR]

NAME is a file in jobs/dataset/, or a path to a YAML file of your own. What such a file may say, with the defaults:

  name: (the file's)                        about: (one line)
  source: {kind: folder, root: (required)}  kinds: folder, csv, parquet, medmnist, fashion_mnist, elpv, fetal, dermnet,
                                            covid, mura, nct. Tables: image, label, split, patient, clean_label name
                                            columns. Folders: patient, "dicom" or a regular expression for paths
  size: 256                                 side of the pack's squares, pixels
  fit: resize                               or pad (black bars), or crop (the middle)
  format: auto                              raw up to 40 GB of pixels, else jpeg (quality: 95)
  intensity: declared                       or stretch, or "LOW:HIGH": how more than 8 bits become 8
  max_rejected: 0.01                        share of the files that may be unusable
  split: {val: 0.15, test: 0.2, seed: 0}    what is cut where there is no official split
  normalise: {mean: [...], std: [...]}      ImageNet's
  augment: {hflip: true, vflip: false, rotate: 0, colour: true}   what leaves the labels true
  groups: []                                lists of look-alike classes, for class-dependent noise; or auto, or
                                            {auto: simclr}: found by what ImageNet's or SimCLR's features confuse
  images: (unknown)                         how many there are, for estimates of time
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisewise import cli
from noisewise.grid.single import single_prepare
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings


@dataclass
class Words:
    dataset: str = field(metadata={"help": "which images"})
    data: str = field(default="data", metadata={"help": "the data folder: raw images in, packs out"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    size: int = field(default=0, metadata={"help": "side of the pack's squares in pixels (default: the dataset's)"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    run = single_prepare(asked.dataset, asked.size)
    return run_here_and_now(run, cli.folder(asked.runs), make_settings(asked.data))


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
