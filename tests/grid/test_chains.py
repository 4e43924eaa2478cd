"""Initial weights as chains: what is shared, and which links cannot follow each other."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from noisewise.errors import UserError
from noisewise.grid.chains import parse_init
from noisewise.grid.expand import expand
from noisewise.grid.files import DatasetFile, GridFile, NoiseLevels, load_recipe
from noisewise.grid.single import single_finetune, single_pretrain
from noisewise.runs.config import Noise, Pretrain, Source, init_name

NOISE = NoiseLevels(symmetric=[0.2, 0.5])
VIT_SIMCLR = {"pretrain": {"simclr": {"backbone": "vit_tiny"}}}


def make(*init, datasets=("here",), recipe=None, **keys):
    """The expansion of a small grid, with overrides of its recipe as on the command line."""
    files = [DatasetFile(name=name, source=Source(kind="folder", root=name)) for name in datasets]
    file = GridFile(datasets=list(datasets), init=list(init), noise=NOISE, **keys)
    return expand("test", file, files, load_recipe("quick", recipe or {}))


def pretrainings(grid):
    return [run for run in grid.runs if isinstance(run, Pretrain)]


@pytest.mark.parametrize(
    "text, weights, chain",
    [
        ("random", "random", []),
        ("imagenet", "imagenet", []),
        ("simclr", "random", [("simclr", None)]),
        ("imagenet+simclr", "imagenet", [("simclr", None)]),
        ("rotation+simclr", "random", [("rotation", None), ("simclr", None)]),
        ("simclr@nct", "random", [("simclr", "nct")]),
        ("imagenet+simclr@nct+simclr", "imagenet", [("simclr", "nct"), ("simclr", None)]),
    ],
)
def test_chains_are_read_left_to_right(text, weights, chain):
    assert parse_init(text, "a test") == (weights, chain)


def test_a_link_is_one_run_wherever_it_is_used():
    grid = make("simclr", "simclr+rotation", "simclr+barlow_twins", seeds=2)
    assert [init_name(run, "here") for run in pretrainings(grid)] == [
        "simclr",
        "simclr+rotation",
        "simclr+barlow_twins",
    ]
    first, *rest = pretrainings(grid)
    assert {run.init.key for run in rest} == {first.key}
    assert {run.key for run in pretrainings(make("simclr"))} == {first.key}, "in another grid, too"


def test_what_a_link_stands_on_is_part_of_it():
    grid = make("simclr", "imagenet+simclr", "rotation+simclr")
    simclrs = [run for run in pretrainings(grid) if run.method == "simclr"]
    assert len({run.key for run in simclrs}) == len(simclrs) == 3


def test_a_chain_may_come_home_from_another_dataset():
    grid = make("imagenet+simclr@elpv+simclr", "imagenet+simclr@elpv")
    there, here = pretrainings(grid)
    assert (there.prepare.dataset, there.init, there.recipe.backbone) == ("elpv", "imagenet", "resnet18")
    assert (here.prepare.dataset, here.init) == ("here", there)
    assert {init_name(run.init, "here") for run in grid.finetunes} == {
        "imagenet+simclr@elpv+simclr",
        "imagenet+simclr@elpv",
    }


def test_a_dataset_named_by_itself_is_the_same_run():
    grid = make("simclr", "simclr@here", "rotation@here+simclr", "rotation+simclr")
    assert len(pretrainings(grid)) == 3
    assert len(grid.finetunes) == 2 * 2


@pytest.mark.parametrize(
    "chain", ["simclr+simclr", "simclr@here+simclr", "simclr+simclr@here", "simclr+rotation+rotation"]
)
def test_a_chain_that_names_itself_is_refused(chain):
    with pytest.raises(UserError) as error:
        make(chain)
    method = chain.rpartition("+")[2].partition("@")[0]
    assert str(error.value).startswith(f"init '{chain}' on here: the pretraining {method} on here follows itself")
    assert f"set recipe.pretrain.{method}.epochs" in str(error.value)


def test_the_other_dataset_may_be_named_by_its_path(tmp_path):
    path = tmp_path / "elsewhere.yaml"
    path.write_text(yaml.safe_dump({"name": "here", "source": {"kind": "folder", "root": "here"}}))
    with pytest.raises(UserError, match="simclr on here follows itself"):
        make(f"simclr@{path}+simclr")


def test_a_method_may_come_again_later_and_elsewhere():
    assert len(pretrainings(make("simclr+rotation+simclr", "simclr@elpv+simclr"))) == 3 + 2


def test_a_finetuning_from_another_backbone_is_refused():
    with pytest.raises(UserError) as error:
        make("simclr", recipe=VIT_SIMCLR)
    assert str(error.value).startswith(
        "init 'simclr' on here: cross_entropy has backbone resnet18, and starts from the weights of simclr, which has "
        "vit_tiny; give both the same: recipe.all.backbone=vit_tiny or resnet18"
    )


def test_a_link_from_another_backbone_is_refused():
    with pytest.raises(UserError, match="rotation has backbone resnet18, .* weights of simclr, which has vit_tiny"):
        make("simclr+rotation", recipe=VIT_SIMCLR)
    with pytest.raises(UserError, match=r"simclr@elpv\+simclr' on here: simclr has backbone resnet18"):
        make("simclr@elpv+simclr", recipe={"datasets": {"elpv": VIT_SIMCLR}})


def test_what_the_message_says_mends_it():
    for backbone in ("vit_tiny", "resnet18"):
        grid = make("imagenet+simclr", recipe={"all": {"backbone": backbone}})
        assert {run.recipe.backbone for run in grid.runs if run.stage != "prepare"} == {backbone}


def test_a_small_stem_before_a_standard_one_is_refused():
    recipe = {"pretrain": {"simclr": {"stem": "auto", "resolution": 32}}}
    with pytest.raises(UserError, match="cross_entropy at .* has the standard stem, .* simclr, which at resolution 32"):
        make("simclr", recipe={"all": {"stem": "auto", "resolution": 128}, **recipe})
    assert make("simclr", recipe={"all": {"stem": "auto", "resolution": 64}, **recipe}).finetunes


def test_weights_that_are_no_run_and_another_resolution_are_fine():
    grid = make("imagenet", "random", "simclr", recipe={"pretrain": {"simclr": {"resolution": 96}}})
    assert {run.recipe.resolution for run in pretrainings(grid)} == {96}
    assert make("imagenet", recipe={"finetune": {"all": {"backbone": "vit_tiny"}}}).finetunes


def test_single_runs_are_held_to_the_same():
    with pytest.raises(UserError, match="simclr on elpv follows itself"):
        single_pretrain("elpv", "simclr", "simclr@elpv", 0, "quick", {})
    with pytest.raises(UserError, match="cross_entropy has backbone vit_tiny, and starts from the weights of simclr"):
        single_finetune("elpv", "simclr", "cross_entropy", Noise(), 0, "quick", {"backbone": "vit_tiny"})
    assert single_pretrain("elpv", "simclr", "imagenet", 0, "quick", {"backbone": "vit_tiny"}).init == "imagenet"


def test_planning_knows_vision_transformers_without_importing_them():
    code = (
        "import sys; from noisewise.grid.expand import read_grid; from noisewise.grid import cost\n"
        "grid = read_grid('demo', {'recipe': {'all': {'backbone': 'vit_tiny', 'stem': 'auto'}}})\n"
        "assert cost.estimate(grid.runs, {}, {}, 'cuda').seconds > 0\n"
        "print({'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
