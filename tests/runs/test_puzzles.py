"""What jigsaw and jigmag ask of a resolution: what fits passes, what does not says what would."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.runs.methods import JigMag, Jigsaw
from noisewise.runs.puzzles import check_jigmag, check_jigsaw, tile_side


def test_the_papers_tiles():
    assert tile_side(Jigsaw(resolution=225)) == tile_side(Jigsaw(resolution=224)) == 64
    assert tile_side(Jigsaw(resolution=224, tile=48)) == 48


@pytest.mark.parametrize(
    "settings",
    [
        {"resolution": 24, "tile": 8},
        {"resolution": 24, "tile": 8, "backbone": "vit_tiny"},
        {"resolution": 224, "backbone": "vit_tiny"},
    ],
)
def test_tiles_that_fit(settings):
    check_jigsaw(Jigsaw(**settings), "here")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"tile": 9},
            "here: jigsaw's tiles of 9 px do not fit into cells of 8 px, a third of resolution 24; set tile ",
        ),
        ({"tile": 9}, "tile to at most 8 .*, or resolution to at least 27"),
        (
            {"backbone": "vit_tiny"},
            "patches of 4 px, which do not divide jigsaw's tiles of 7 px; set tile to one of 4, 8",
        ),
        (
            {"resolution": 32, "backbone": "vit_tiny", "stem": "standard"},
            "set resolution to at least 48 and tile to 16",
        ),
        ({"resolution": 1}, "resolution to at least 3"),
    ],
)
def test_tiles_that_do_not_fit_say_what_to_set(settings, words):
    with pytest.raises(UserError, match=words):
        check_jigsaw(Jigsaw(**{"resolution": 24, **settings}), "here")


def test_views_that_cannot_be_magnified_say_what_to_set():
    check_jigmag(JigMag(resolution=24), "here")
    check_jigmag(JigMag(resolution=24, zoom=2.28), "here")
    with pytest.raises(UserError, match="here: .* resolution 25 is odd; set resolution to 24 or 26"):
        check_jigmag(JigMag(resolution=25), "here")
    with pytest.raises(UserError, match="zoom of 4 leaves fewer than 2 of 24 pixels .* set zoom to at most 2.28"):
        check_jigmag(JigMag(resolution=24, zoom=4.0), "here")
