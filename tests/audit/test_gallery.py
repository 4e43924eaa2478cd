"""The page: whole without a network, and nothing in a file's or a class's name becomes markup."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from noisewise.audit.gallery import SIDE, render, write_gallery
from noisewise.data.pack import Pack
from noisewise.data.prepare import prepare
from noisewise.errors import RunError
from noisewise.grid.expand import read_grid
from noisewise.runs.config import Prepare, Source
from noisewise.runs.folder import RunFolder, Settings

RESULT = {"suspects": 1, "noise_rate_estimated": 0.25, "realised_rate": None, "transition_estimated": [[1, 0], [0, 1]]}


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Pack:
    """Two red images of a class whose name is markup, two green ones."""
    data = tmp_path_factory.mktemp("audit")
    for name, colour in (("<b>red", (250, 0, 0)), ("green", (0, 250, 0))):
        for number in range(10):
            path = data / "colours" / name / f"{number} & co.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((16, 16, 3), colour, dtype=np.uint8)
            pixels[0, 0] = number  # equal files are never parted
            Image.fromarray(pixels).save(path)
    return prepare(Prepare("colours", Source(root="colours"), size=16), data)


def rows_of(pack: Pack) -> list[dict[str, str]]:
    names, classes = pack.names(), pack.classes
    return [
        {"rank": str(place + 1), "path": name, "index": str(place), "given": classes[pack.labels[place]]}
        | {"suggested": classes[1 - pack.labels[place]], "score": f"{0.9 - 0.01 * place:.4f}"}
        for place, name in enumerate(names)
    ]


def test_each_card_shows_its_own_image(pack):
    html = render("colours", pack, rows_of(pack), 20, RESULT)
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]
    assert [image.shape for image in images] == 20 * [(SIDE, SIDE, 3)]
    assert [int(image.mean((0, 1)).argmax()) for image in images] == [int("green" in name) for name in pack.names()]


def test_names_are_escaped_and_nothing_is_fetched(pack):
    html = render("<i>title", pack, rows_of(pack), 20, RESULT)
    assert "<b>red" not in html and "&lt;b&gt;red" in html and "<i>title" not in html
    assert "0 &amp; co.png" in html
    assert not re.search(r'(src|href)="(?!data:)', html) and "://" not in html and "url(" not in html


def test_says_what_is_known_and_no_more(pack):
    html = render("colours", pack, rows_of(pack), 20, RESULT)
    assert "realised" not in html and "average precision" not in html and "<dt>truly" not in html
    known = [row | {"true": row["given"]} for row in rows_of(pack)]
    html = render("colours", pack, known, 20, RESULT | {"realised_rate": 0.2, "audit_average_precision": 0.7})
    assert "realised" in html and "0.70" in html and "<dt>truly" in html


def test_a_run_without_an_audit_says_what_to_do(shapes_grid, tmp_path):
    run = read_grid(str(shapes_grid)).finetunes[0]
    folder = RunFolder.of(tmp_path, run)
    with pytest.raises(RunError, match="an earlier version") as error:
        write_gallery(run, folder, Settings())
    assert str(folder.path) in error.value.advice
