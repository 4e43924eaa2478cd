"""The README's example of a method of one's own: it runs, as it stands there, through the engine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.pretrain.small import ONE
from tests.train.test_loop import StopAfter

from noisewise.grid.expand import read_grid
from noisewise.pretrain.engine import pretrain
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import PRETRAIN
from noisewise.runs.recipe import PretrainRecipe
from noisewise.train.control import Control, Interrupted

README = Path(__file__).parents[2] / "README.md"
HEAD = "```python\n# lib/noisewise/pretrain/simsiam.py\n"


@pytest.fixture
def simsiam(monkeypatch) -> None:
    """The README's file and its entry, in place."""
    text = README.read_text(encoding="utf-8")
    assert text.count(HEAD) == 1
    code = text.split(HEAD)[1].split("```")[0]
    module = ModuleType("noisewise.pretrain.simsiam")
    exec(compile(code, "README.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(PRETRAIN, "simsiam", PretrainRecipe)


def test_the_readmes_method_trains_and_resumes(simsiam, shapes, shapes_grid, tmp_path):
    run = next(run for run in read_grid(str(shapes_grid)).runs if isinstance(run, Pretrain))
    recipe = PretrainRecipe(resolution=16, stem="standard", epochs=3, batch=16, lr=0.05)
    run = replace(run, method="simsiam", recipe=recipe)
    folder, settings = RunFolder.of(tmp_path, run), Settings(data=str(shapes))
    folder.create(run, settings)
    with pytest.raises(Interrupted):
        pretrain(run, folder, settings, ONE, StopAfter(4))
    result = pretrain(run, folder, settings, ONE, Control())
    assert -1 <= result["loss"] < 0 and folder.encoder.exists()
    assert {"knn_f1", "initial_knn_f1", "rankme"} <= result.keys()
