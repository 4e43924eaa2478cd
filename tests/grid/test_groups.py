"""Groups that are to be found: what finds them is planned, decides keys, and is one for all runs on a dataset."""

from __future__ import annotations

import json

import pytest
import yaml

from noisewise.errors import UserError
from noisewise.grid.expand import expand
from noisewise.grid.files import DataLevels, DatasetFile, GridFile, NoiseLevels, load_recipe
from noisewise.grid.groups import auto_init
from noisewise.runs.config import Source, from_dict, init_name, to_dict


def grid_of(groups, init=("random", "imagenet"), recipe="quick", overrides=None, **more):
    dataset = DatasetFile(name="mine", source=Source(kind="folder", root="mine"), groups=groups)
    noise = NoiseLevels(symmetric=[0.2], class_dependent=[0.2, 0.4])
    file = GridFile(datasets=["mine"], init=list(init), noise=noise, seeds=2, **more)
    return expand("test", file, [dataset], load_recipe(recipe, overrides))


def the_probe(grid):
    """The one that all class-dependent runs have."""
    probes = [run.noise.probe for run in grid.finetunes if run.noise.kind == "class_dependent"]
    assert len({probe.key for probe in probes}) == 1
    return probes[0]


def test_which_initialisation_finds_them():
    assert auto_init("auto") == "imagenet" and auto_init({"auto": "simclr"}) == "simclr"
    assert auto_init([["a", "b"]]) is None and auto_init([]) is None


def test_one_probe_for_all_class_dependent_runs_on_a_dataset():
    grid = grid_of({"auto": "imagenet+simclr"}, pretrain_seeds=2, init=["random", "simclr"])
    probe = the_probe(grid)
    assert not grid.missing
    assert init_name(probe.init, "mine") == "imagenet+simclr"
    assert (probe.init.seed, probe.init.fraction) == (0, 1.0) and probe.resolution == probe.init.recipe.resolution
    for run in grid.finetunes:
        dependent = run.noise.kind == "class_dependent"
        assert (probe.init in run.parents) == dependent and run.noise.groups == []
    order = [run.key for run in grid.runs]
    assert all(order.index(parent.key) < order.index(run.key) for run in grid.runs for parent in run.parents)


def test_imagenets_needs_no_run_and_has_the_network_of_the_recipe():
    grid = grid_of("auto", overrides={"finetune": {"all": {"resolution": 48}}})
    assert {run.stage for run in grid.runs} == {"prepare", "finetune"} and not grid.missing
    probe = the_probe(grid)
    assert (probe.init, probe.backbone, probe.resolution) == ("imagenet", "resnet18", 48)


def test_a_fraction_goes_by_the_groups_of_all_images():
    grid = grid_of({"auto": "simclr"}, data=DataLevels(0.1))
    assert {run.fraction for run in grid.finetunes} == {0.1} and the_probe(grid).init.fraction == 1.0


def test_what_finds_the_groups_is_in_the_keys_of_those_runs_alone():
    def keys(groups, **more):
        found = grid_of(groups, **more).finetunes
        return [{run.key for run in found if run.noise.kind == kind} for kind in ("symmetric", "class_dependent")]

    listed, auto, simclr = keys([["a", "b"]]), keys("auto"), keys({"auto": "simclr"})
    longer = keys({"auto": "simclr"}, overrides={"pretrain": {"simclr": {"epochs": 70}}})
    assert listed[0] == auto[0] == simclr[0] == longer[0]
    assert len(set.union(listed[1], auto[1], simclr[1], longer[1])) == 4 * len(auto[1])


@pytest.mark.parametrize("form", [json, yaml])
def test_such_a_run_survives_its_file(form):
    def carry(values):
        return json.loads(json.dumps(values)) if form is json else yaml.safe_load(yaml.dump(values))

    for groups in ("auto", {"auto": "imagenet+simclr"}):
        for run in grid_of(groups).finetunes:
            found = from_dict(carry(to_dict(run)))
            assert found == run and found.key == run.key and found.parents == run.parents


def test_a_probe_that_is_none_is_refused():
    values = to_dict(next(run for run in grid_of("auto").finetunes if run.noise.probe))
    for probe, words in (
        ("imagenet", "noise.probe: expected keys and values"),
        ({"init": "imagenet", "size": 3}, "unknown key 'size' in config.noise.probe"),
        ({"resolution": "large"}, "resolution"),
        ({"init": {"stage": "prepare", "dataset": "a"}}, "a run of stage 'prepare' cannot stand here"),
    ):
        values["noise"]["probe"] = probe
        with pytest.raises(UserError, match=words):
            from_dict(values)
