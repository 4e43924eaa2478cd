"""Contact sheets: for each class one picture of some of its images as they are in the pack, to be looked at."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from noisewise.data.pack import SHEETS, Pack
from noisewise.data.table import SPLITS

COLUMNS, ROWS = 10, {"train": 4, "val": 1, "test": 1}
SIDE, GAP, MARGIN, LINE = 112, 4, 16, 24  # pixels
INK, PALE, PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)


def write_sheets(pack: Pack) -> None:
    """A PNG a class in the pack's folder: rows of its training, validation and test images, evenly spread over them."""
    (pack.folder / SHEETS).mkdir(exist_ok=True)
    memory = np.memmap(pack.beton, np.uint8, "r")
    for number, name in enumerate(pack.classes):
        word = re.sub(r"[^\w-]+", "_", name)[:40]
        _draw(pack, memory, number).save(pack.folder / SHEETS / f"{number:02}-{word}.png")


def _draw(pack: Pack, memory: np.ndarray, number: int) -> Image.Image:
    width = 2 * MARGIN + COLUMNS * (SIDE + GAP) - GAP
    height = 2 * MARGIN + 2 * LINE + sum(LINE + rows * (SIDE + GAP) for rows in ROWS.values())
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, top = ImageDraw.Draw(sheet), MARGIN
    draw.text((MARGIN, top), pack.classes[number], INK, _font(18))
    top += 2 * LINE - GAP
    for part in SPLITS:
        mine = pack.indices(part)
        mine = mine[pack.labels[mine] == number]
        shown = mine[np.linspace(0, len(mine) - 1, min(len(mine), COLUMNS * ROWS[part])).astype(int)]
        draw.text((MARGIN, top), f"{part}: {len(shown)} of {len(mine):,}", PALE, _font(13))
        top += LINE
        for place, row in enumerate(shown):
            left, below = place % COLUMNS * (SIDE + GAP), place // COLUMNS * (SIDE + GAP)
            sheet.paste(_thumbnail(pack, memory, row), (MARGIN + left, top + below))
        top += ROWS[part] * (SIDE + GAP)
    return sheet


def _thumbnail(pack: Pack, memory: np.ndarray, row: int) -> Image.Image:
    held = memory[pack.offsets[row] : pack.offsets[row] + pack.sizes[row]]
    raw = pack.format == "raw"
    pixels = held.reshape(pack.size, pack.size, 3) if raw else cv2.imdecode(held, cv2.IMREAD_COLOR_RGB)
    way = cv2.INTER_AREA if pack.size > SIDE else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=way))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: most alphabets are in it."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
