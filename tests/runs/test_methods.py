"""Recipes: every method has one that can be built from YAML; what exists is told from what is only planned."""

from __future__ import annotations

import subprocess
import sys

import pytest

from noisewise.runs.methods import METHODS, exists
from noisewise.runs.schema import build

ALL = [(stage, method) for stage, methods in METHODS.items() for method in methods]


@pytest.mark.parametrize(("stage", "method"), ALL)
def test_the_defaults_of_every_recipe_build(stage, method):
    schema = METHODS[stage][method]
    assert build(schema, {}, method) == schema()


@pytest.mark.parametrize("method", ["simclr"])
def test_pretraining_methods_with_a_module_exist(method):
    assert exists("pretrain", method)


@pytest.mark.parametrize("method", ["cross_entropy", "coteaching"])
def test_finetuning_methods_with_a_module_exist(method):
    assert exists("finetune", method)


@pytest.mark.parametrize(("stage", "method"), [("pretrain", "coteaching"), ("finetune", "engine"), ("finetune", "x.y")])
def test_other_names_do_not_exist(stage, method):
    assert not exists(stage, method)


def test_asking_imports_no_torch():
    code = "import sys; from noisewise.runs.methods import exists; exists('pretrain', 'simclr'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "noisewise.runs.methods" in done.stdout.split()
    assert "torch" not in done.stdout.split()
