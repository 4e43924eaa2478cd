"""audit.html: the labels that are most in doubt, with their images, on one page that stands alone, offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import noisewise
from noisewise.audit.table import TRUE, read_table
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.sheets import thumbnail
from noisewise.errors import RunError
from noisewise.runs.config import Finetune
from noisewise.runs.files import replacing
from noisewise.runs.folder import RunFolder, Settings

SHOWN = 200  # of the most doubtful labels
SIDE = 160  # pixels of an image
QUALITY = 85  # of its JPEG
TOLD = 5  # that are printed
EMPTY = 0.005  # a share below that is written as nothing


def write_gallery(run: Finetune, folder: RunFolder, settings: Settings) -> list[str]:
    """Make the page of a run that is done, from its audit.csv; returns what to print of it, a line an element.

    Raises:
        RunError: data; the run has left no audit, or its pack is gone.
    """
    rows = read_table(folder.audit)
    result = folder.glance()
    if "noise_rate_estimated" not in result:
        advice = f"Remove the folder {folder.path} and type the command again: it is run anew."
        raise RunError("data", f"{folder.result} holds no audit", advice)
    pack = Pack.open(pack_folder(Path(settings.data), run.prepare))
    html = render(run.name, pack, rows[:SHOWN], len(rows), result)
    with replacing(folder.gallery) as file:
        file.write(html)
    return describe(rows, result, folder)


def render(title: str, pack: Pack, rows: Sequence[Mapping[str, str]], total: int, result: Mapping[str, Any]) -> str:
    """The page's HTML, of these rows of `total` in audit.csv; everything from outside is escaped by the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    memory = np.memmap(pack.beton, np.uint8, "r")
    return environment.get_template("gallery.html").render(
        title=title,
        version=noisewise.__version__,
        total=total,
        result=result,
        known=bool(rows) and TRUE in rows[0],
        classes=pack.classes,
        transition=[[share if share >= EMPTY else None for share in line] for line in result["transition_estimated"]],
        cards=[
            {**row, "image": _inline(pack, memory, int(row["index"])), "name": Path(row["path"]).name} for row in rows
        ],
        side=SIDE,
    )


def describe(rows: Sequence[Mapping[str, str]], result: Mapping[str, Any], folder: RunFolder) -> list[str]:
    """The estimate, the most doubtful labels, and where all of them are."""
    realised = result.get("realised_rate")
    known = "" if not realised else f"; the realised rate is {realised:.2f}"
    lines = [
        f"labels that are probably wrong: {result['suspects']:,} of {len(rows):,}",
        f"noise rate, estimated: {result['noise_rate_estimated']:.2f}{known}",
        "most doubtful:",
    ]
    lines += [
        f"  {row['score']}  {row['path']}: labelled {row['given']}, looks like {row['suggested']}"
        for row in rows[:TOLD]
    ]
    return [*lines, f"all       {folder.audit}", f"look at   {folder.gallery}"]


def _inline(pack: Pack, memory: np.ndarray, row: int) -> str:
    """A sample of the pack as a data URI."""
    buffer = io.BytesIO()
    thumbnail(pack, memory, row, SIDE).save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
