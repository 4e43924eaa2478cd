"""Grids: what they expand to, and what they refuse."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.grid.expand import expand, read_grid
from noisewise.grid.files import DataLevels, DatasetFile, GridFile, NoiseLevels, load_recipe
from noisewise.runs.config import Pretrain, Source, init_name


def make(**keys):
    """The expansion of a small grid over one dataset that can be run."""
    values = {"datasets": ["mine"], "noise": NoiseLevels(symmetric=[0.2, 0.5]), **keys}
    dataset = DatasetFile(name="mine", source=Source(kind="folder", root="mine"))
    return expand("test", GridFile(**values), [dataset], load_recipe("quick"))


def test_every_combination_once():
    grid = make(init=["random", "simclr"], finetune=["cross_entropy", "coteaching"], seeds=3)
    assert len(grid.finetunes) == 2 * 2 * 2 * 3
    assert len({run.key for run in grid.runs}) == len(grid.runs)


def test_parents_come_before_children():
    grid = make(init=["imagenet+simclr", "simclr"], seeds=2)
    seen: set[str] = set()
    for run in grid.runs:
        assert all(parent.key in seen for parent in run.parents)
        seen.add(run.key)


def test_pretraining_is_shared_by_seeds_methods_and_rates():
    grid = make(init=["simclr"], finetune=["cross_entropy", "coteaching"], seeds=3)
    assert sum(isinstance(run, Pretrain) for run in grid.runs) == 1


def test_pretraining_repeats_take_turns():
    grid = make(init=["simclr"], seeds=4, pretrain_seeds=2, noise=NoiseLevels(symmetric=[0.5]))
    assert [run.init.seed for run in grid.finetunes] == [0, 1, 0, 1]


def test_two_seeds_never_share_a_key():
    grid = make(seeds=5, noise=NoiseLevels(symmetric=[0.5]))
    assert len({run.key for run in grid.finetunes}) == 5


def test_each_seed_draws_its_own_noise_and_methods_share_it():
    grid = make(finetune=["cross_entropy", "coteaching"], seeds=2, noise=NoiseLevels(symmetric=[0.5]))
    draws = {(run.method, run.seed): run.noise for run in grid.finetunes}
    assert draws["cross_entropy", 0] == draws["coteaching", 0] != draws["cross_entropy", 1]


def test_rate_zero_is_the_clean_control():
    grid = make(noise=NoiseLevels(none=True, symmetric=[0.0, 0.5]))
    assert [run.noise.kind for run in grid.finetunes] == ["none", "symmetric"]


def test_two_grids_share_what_they_have_in_common():
    small, large = make(init=["simclr"]), make(init=["simclr", "random"], seeds=2)
    assert {run.key for run in small.runs} <= {run.key for run in large.runs}


def test_chain_from_another_dataset():
    here = DatasetFile(name="here", source=Source(kind="folder", root="here"))
    there = DatasetFile(name="there", source=Source(kind="folder", root="there"))
    file = GridFile(datasets=["here", "there"], init=["simclr@there"], noise=NoiseLevels(none=True))
    run = expand("test", file, [here, there], load_recipe("quick")).finetunes[0]
    assert isinstance(run.init, Pretrain)
    assert (run.prepare.dataset, run.init.prepare.dataset) == ("here", "there")
    assert init_name(run.init, "here") == "simclr@there"


def test_chain_is_written_back_as_it_was_read():
    run = make(init=["imagenet+simclr"]).finetunes[0]
    assert init_name(run.init, "mine") == "imagenet+simclr"
    assert run.init.init == "imagenet"


def test_fractions_are_an_axis_each_once_and_in_their_order():
    grid = make(data=DataLevels([0.3, 0.1, 1, 0.1, 1.0]), init=["random", "simclr"], seeds=2)
    assert len(grid.finetunes) == 3 * 2 * 2 * 2
    assert list(dict.fromkeys(run.fraction for run in grid.finetunes)) == [0.3, 0.1, 1.0]
    assert [run.fraction for run in grid.runs if isinstance(run, Pretrain)] == [0.3, 0.1, 1.0]
    assert all(run.init.fraction == run.fraction for run in grid.finetunes if isinstance(run.init, Pretrain))
    assert len({run.name for run in grid.runs}) == len({run.key for run in grid.runs}) == len(grid.runs)


def test_all_images_are_the_runs_that_they_always_were():
    whole, mixed = make(init=["simclr"]), make(init=["simclr"], data=DataLevels([0.1, 1.0]))
    assert {run.key for run in whole.runs} < {run.key for run in mixed.runs}
    assert {run.key for run in whole.finetunes} == {run.key for run in mixed.finetunes if "%" not in run.name}


def test_a_fraction_on_the_command_line_takes_the_place_of_the_grids():
    assert {run.fraction for run in read_grid("size").finetunes} == {0.1, 0.3, 1.0}
    assert {run.fraction for run in read_grid("size", {"data": {"fraction": 0.5}}).finetunes} == {0.5}
    assert {run.fraction for run in read_grid("demo", {"data": {"fraction": [0.1, 0.2]}}).finetunes} == {0.1, 0.2}


def test_a_chain_uses_the_fraction_on_its_own_images_and_all_of_anothers():
    datasets = [DatasetFile(name=name, source=Source(kind="folder", root=name)) for name in ("here", "there")]
    file = GridFile(
        datasets=["here", "there"],
        data=DataLevels(0.1),
        init=["simclr@there+rotation+simclr"],
        noise=NoiseLevels(none=True),
    )
    here, there = expand("test", file, datasets, load_recipe("quick")).finetunes
    links = [here.init.init.init, here.init.init, here.init]
    assert [(link.prepare.dataset, link.fraction) for link in links] == [("there", 1.0), ("here", 0.1), ("here", 0.1)]
    assert (here.fraction, there.fraction, there.init.init.init.fraction) == (0.1, 0.1, 0.1)


def test_every_method_of_the_full_grid_is_there():
    grid = read_grid("full")
    assert len(grid.runs) > 5000
    assert not any("method" in reason for reason in grid.missing.values())


def test_a_method_without_its_file_is_missing(monkeypatch):
    monkeypatch.setattr("noisewise.grid.expand.exists", lambda stage, method: method != "dividemix")
    grid = make(finetune=["cross_entropy", "dividemix"])
    assert set(grid.missing.values()) == {"this version has no finetune method dividemix"}
    assert all(run.key not in grid.missing for run in grid.ready)


def test_a_run_is_missing_when_its_parent_is(monkeypatch):
    monkeypatch.setattr("noisewise.grid.expand.exists", lambda stage, method: method != "moco_v2")
    grid = make(init=["moco_v2"])
    assert {grid.missing[run.key] for run in grid.finetunes} == {"this version has no pretrain method moco_v2"}
    assert not grid.ready, "nobody needs the preparation"


@pytest.mark.parametrize(("name", "finetunes", "pretrainings"), [("demo", 8, 1), ("smoke", 30, 9), ("size", 12, 3)])
def test_shipped_grids_can_be_run_whole(name, finetunes, pretrainings):
    grid = read_grid(name)
    assert not grid.missing
    assert len(grid.finetunes) == finetunes
    assert len(grid.ready) == len(grid.runs) == finetunes + pretrainings + 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seds": 1}, ["unknown key 'seds'", "Did you mean 'seeds'?", "Legal: about, data, datasets"]),
        ({"noise": {"symmetrc": [0.2]}}, ["'symmetrc'", "Did you mean 'symmetric'?"]),
        ({"noise": {"symmetric": [-0.1]}}, ["-0.1", "at least 0 and below 1"]),
        ({"noise": {"symmetric": [1.2]}}, ["1.2", "at least 0 and below 1"]),
        ({"noise": {"symmetric": []}}, ["empty", "none: true"]),
        ({"datasets": []}, ["empty", "'datasets'"]),
        ({"datasets": ["elpw"]}, ["unknown dataset 'elpw'", "Did you mean 'elpv'?"]),
        ({"data": {"fraction": 0}}, ["grid 'demo'", "data.fraction is 0", "above 0 and at most 1"]),
        ({"data": {"fraction": [0.5, 1.2]}}, ["data.fraction is 1.2"]),
        ({"data": {"fraction": "10%"}}, ["data.fraction is '10%'", "such as 0.1"]),
        ({"data": {"fraction": []}}, ["empty", "data.fraction"]),
        ({"data": {"fractoin": 0.1}}, ["'fractoin'", "Did you mean 'fraction'?"]),
        ({"data": 0.1}, ["takes keys of its own", "fraction"]),
        ({"init": ["simcrl"]}, ["'simcrl'", "Did you mean 'simclr'?"]),
        ({"init": ["simclr+imagenet"]}, ["'imagenet' can only come first"]),
        ({"init": ["simclr+simclr"]}, ["follows itself"]),
        ({"init": ["simclr@"]}, ["dataset's name"]),
        ({"finetune": ["co-teaching"]}, ["'co-teaching'", "Did you mean 'coteaching'?"]),
        ({"seeds": 0}, ["seeds is 0"]),
        ({"seeds": "many"}, ["'seeds'", "many"]),
        ({"init": "simclr"}, ["the command line", "init=[simclr]"]),
        ({"noise": "none"}, ["takes keys of its own"]),
        ({"recipe": {"base": "paper"}}, ["type recipe=paper"]),
        ({"recipe": {"pretrain": {"simclr": 5}}}, ["expected keys and values"]),
        ({"recipe": {"pretrain": {"moco_v2": {"epocs": 3}}}}, ["'epocs'", "Did you mean 'epochs'?"]),
        ({"recipe": {"datasets": {"elpw": {"all": {"epochs": 3}}}}}, ["unknown dataset 'elpw'", "elpv"]),
        ({"recipe": {"datasets": {"elpv": {"pretrian": {}}}}}, ["Did you mean 'pretrain'?"]),
        ({"recipe": {"all": {"lr": float("nan")}}}, ["lr is nan"]),
        ({"recipe": {"all": {"backbone": "vgg"}}}, ["unknown backbone 'vgg'"]),
        ({"recipe": {"all": {"augmentation": {"crop_min": 7}}}}, ["augmentation.crop_min is 7"]),
        ({"recipe": {"finetune": {"all": {"last_epochs": 0}}}}, ["last_epochs is 0"]),
        (
            {"recipe": {"finetune": {"coteaching": {"assume_rate": "banana"}}}},
            ["assume_rate is 'banana'", "known, estimated"],
        ),
        (
            {"finetune": ["dividemix"], "recipe": {"finetune": {"dividemix": {"cross_entropy_epochs": 8}}}},
            ["cross_entropy_epochs is 8", "only 8 epochs"],
        ),
        (
            {"finetune": ["dividemix"], "recipe": {"finetune": {"dividemix": {"confidence_penalty": "yes"}}}},
            ["confidence_penalty", "always, auto, never"],
        ),
        ({"finetune": ["dividemix"], "recipe": {"finetune": {"dividemix": {"threshold": 1.0}}}}, ["threshold is 1"]),
        (
            {"finetune": ["dividemix"], "recipe": {"finetune": {"dividemix": {"batch": 64, "accumulate": 16}}}},
            ["without a labelled image", "at most 8"],
        ),
        ({"recipe": {"pretrain": {"simclr": {"decay_from_epoch": 20}}}}, ["never fall", "schedule=constant"]),
        ({"recipe": {"pretrain": {"simclr": {"warmup_epochs": 20}}}}, ["warmup_epochs is 20", "never reach its peak"]),
        ({"recipe": {"pretrain": {"simclr": {"final_lr": 1}}}}, ["final_lr is 1, above lr", "set final_lr lower"]),
        ({"recipe": {"pretrain": {"simclr": {"batch": 1}}}}, ["batch is 1", "needs 2 images at least"]),
        ({"recipe": {"pretrain": {"simclr": {"batch": 128, "accumulate": 3}}}}, ["cannot be shared equally"]),
        ({"recipe": {"pretrain": {"simclr": {"batch": 4096}}}}, ["simclr's batch of 4096 is larger than the 2624"]),
        ({"recipe": {"size": -4}}, ["size is -4"]),
        ({"recipe": {"pretrain": {"simclr": {"epocs": 3}}}}, ["'epocs'", "Did you mean 'epochs'?"]),
        ({"recipe": {"pretrain": {"simcrl": {"epochs": 3}}}}, ["'simcrl'", "Did you mean 'simclr'?"]),
        (
            {"recipe": {"finetune": {"all": {"optimiser": "adamx"}}}},
            ["optimiser 'adamx'", "Legal: adam, adamw, lars, sgd"],
        ),
        ({"recipe": {"all": {"epochs": 0}}}, ["epochs is 0"]),
        ({"recipe": {"all": {"stem": "tiny"}}}, ["stem 'tiny'"]),
    ],
)
def test_mistakes_are_named_with_what_is_legal(overrides, words):
    with pytest.raises(UserError) as error:
        read_grid("demo", overrides)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_recipe_by_name_takes_the_grids_place_and_can_be_overridden():
    run = read_grid("demo", {"recipe": {"finetune": {"all": {"epochs": 3}}}}, recipe="smoke").finetunes[0]
    assert (run.recipe.epochs, run.recipe.resolution) == (3, 16)
    with pytest.raises(UserError, match="unknown recipe 'papr'.*Did you mean 'paper'"):
        read_grid("demo", recipe="papr")


def test_groups_are_part_of_class_dependent_runs_alone():
    finetunes = make(noise=NoiseLevels(symmetric=[0.2], class_dependent=[0.2])).finetunes
    assert [run.noise.groups for run in finetunes] == [[], []]
    with_groups = DatasetFile(name="mine", source=Source(kind="folder", root="mine"), groups=[["a", "b"]])
    file = GridFile(datasets=["mine"], noise=NoiseLevels(symmetric=[0.2], class_dependent=[0.2]))
    grouped = expand("test", file, [with_groups], load_recipe("quick")).finetunes
    assert [run.noise.groups for run in grouped] == [[], [["a", "b"]]]
    assert [run.key == other.key for run, other in zip(finetunes, grouped, strict=True)] == [True, False]


def test_unknown_grid_and_missing_file():
    with pytest.raises(UserError, match=r"unknown grid 'dmo'.*Did you mean 'demo'"):
        read_grid("dmo")
    with pytest.raises(UserError, match="there is no grid file /nowhere/grid.yaml"):
        read_grid("/nowhere/grid.yaml")
