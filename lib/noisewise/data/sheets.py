"""Contact sheets: for each class one picture of some of its images as they are in the pack, to be looked at."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from noisewise.data.pack import SHEETS, Pack
from noisewise.data.table import SPLITS

COLUMNS, ROWS = 10, {"train": 4, "val": 1, "test": 1}  # rows at most
SIDE, GAP, MARGIN, LINE, CAPTION = 112, 6, 16, 24, 14  # pixels
LETTERS = 17  # of an image's name
INK, PALE, EDGE, PAPER = (20, 20, 20), (110, 110, 110), (200, 200, 200), (255, 255, 255)


def write_sheets(pack: Pack) -> None:
    """A PNG a class in the pack's folder: rows of its training, validation and test images, evenly spread over them."""
    (pack.folder / SHEETS).mkdir(exist_ok=True)
    names = [name.rpartition("/")[2][-LETTERS:] for name in pack.names()]
    memory = np.memmap(pack.beton, np.uint8, "r")
    for number, name in enumerate(pack.classes):
        word = re.sub(r"[^\w-]+", "_", name)[:40]
        _draw(pack, memory, names, number).save(pack.folder / SHEETS / f"{number:02}-{word}.png")


def _draw(pack: Pack, memory: np.ndarray, names: list[str], number: int) -> Image.Image:
    """The sheet of a class; names: of all images, as they are written below each."""
    mine = {part: [row for row in pack.indices(part) if pack.labels[row] == number] for part in SPLITS}
    rows = {part: min(ROWS[part], math.ceil(len(mine[part]) / COLUMNS)) for part in SPLITS}
    cell = SIDE + CAPTION + GAP
    width = 2 * MARGIN + COLUMNS * (SIDE + GAP) - GAP
    height = 2 * MARGIN + 2 * LINE + sum(LINE + rows[part] * cell for part in SPLITS)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, top = ImageDraw.Draw(sheet), MARGIN
    draw.text((MARGIN, top), pack.classes[number], INK, _font(18))
    top += 2 * LINE - GAP
    for part in SPLITS:
        places = np.linspace(0, len(mine[part]) - 1, min(len(mine[part]), COLUMNS * rows[part])).astype(int)
        draw.text((MARGIN, top), f"{part}: {len(places)} of {len(mine[part]):,}", PALE, _font(13))
        top += LINE
        for place, row in enumerate(mine[part][found] for found in places):
            left, upper = MARGIN + place % COLUMNS * (SIDE + GAP), top + place // COLUMNS * cell
            sheet.paste(thumbnail(pack, memory, row, SIDE), (left, upper))
            draw.rectangle((left - 1, upper - 1, left + SIDE, upper + SIDE), outline=EDGE)
            draw.text((left, upper + SIDE + 1), names[row], PALE, _font(10))
        top += rows[part] * cell
    return sheet


def thumbnail(pack: Pack, memory: np.ndarray, row: int, side: int) -> Image.Image:
    """A sample of the pack at `side` x `side` pixels; memory: the pack's beton as bytes, uint8 [n]."""
    held = memory[pack.offsets[row] : pack.offsets[row] + pack.sizes[row]]
    raw = pack.format == "raw"
    pixels = held.reshape(pack.size, pack.size, 3) if raw else cv2.imdecode(held, cv2.IMREAD_COLOR_RGB)
    way = cv2.INTER_AREA if pack.size > side else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(pixels, (side, side), interpolation=way))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: most alphabets are in it."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
