"""Keys: they change with everything that decides a result and with nothing else; configs survive JSON and YAML."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from noisewise.errors import UserError
from noisewise.runs.config import (
    NO_PART_OF_THE_KEY,
    Finetune,
    Noise,
    Prepare,
    Pretrain,
    ancestors,
    from_dict,
    init_name,
    to_dict,
)
from noisewise.runs.methods import CrossEntropy, SimCLR
from tests.runs.examples import FINETUNE, PREPARE, PRETRAIN, RUNS

GOLDEN = {"prepare": "1122b1ad6c0d", "pretrain": "99337fe964e5", "finetune": "4b97583bceda"}


def variants(value: object) -> Iterator[tuple[str, object]]:
    """Every copy of a config in which one field, at any depth, has another value; with the field's name."""
    for item in fields(value):
        if item.metadata == NO_PART_OF_THE_KEY:
            continue
        old = getattr(value, item.name)
        changed = variants(old) if is_dataclass(old) else [("", other(old))]
        for name, new in changed:
            yield f"{item.name}.{name}".rstrip("."), replace(value, **{item.name: new})


def through_yaml(values: dict) -> dict:
    return OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(values))))


def other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [value[0] + 1, *value[1:]] if value else [["a", "b"]]
    return "other" if value is None else f"{value}x"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stage)
def test_the_key_changes_with_every_field(run):
    changed = dict(variants(run))
    keys = {name: one.key for name, one in changed.items()}
    assert run.key not in keys.values()
    assert len(set(keys.values())) == len(keys)
    assert len(keys) > 10


def test_how_many_files_may_be_rejected_moves_no_key():
    prepare = FINETUNE.prepare
    assert replace(prepare, max_rejected=0.5).key == prepare.key != replace(prepare, size=prepare.size + 1).key


def test_the_variants_reach_into_every_corner():
    names = {name for name, _ in variants(FINETUNE)}
    expected = {"seed", "noise.rate", "recipe.augmentation.hue", "init.recipe.temperature", "init.prepare.split.seed"}
    assert expected | {"prepare.source.root", "normalise.mean", "allowed.colour"} <= names


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stage)
def test_keys_are_the_same_as_ever(run):
    """An accident in config or recipes would orphan every finished run. Changed on purpose: tell CHANGELOG."""
    assert run.key == GOLDEN[run.stage]


def test_a_key_is_the_same_in_another_process():
    code = "from tests.runs.examples import FINETUNE; print(FINETUNE.key)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == FINETUNE.key


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stage)
def test_a_run_survives_json_and_yaml(run):
    values = to_dict(run)
    for carried in (json.loads(json.dumps(values)), through_yaml(values)):
        assert from_dict(carried) == run
        assert from_dict(carried).key == run.key


def test_defaults_written_out_or_left_to_be_filled_in_are_one_run():
    values = to_dict(FINETUNE)
    values["recipe"] = {"ramp_epochs": 10}
    del values["allowed"], values["normalise"]["std"]
    assert from_dict(values).key == FINETUNE.key


rates = st.floats(0, 1, exclude_max=True)
lrs = st.floats(1e-12, 1e3)
names = st.text(st.characters(exclude_categories=["C"], exclude_characters="$?"), min_size=1)


@settings(deadline=None, max_examples=25)
@given(rate=rates, lr=lrs, seed=st.integers(0, 2**63), dataset=names)
def test_any_run_survives_yaml(rate, lr, seed, dataset):
    run = Finetune(Prepare(dataset), "cross_entropy", CrossEntropy(lr=lr), Noise("symmetric", rate), seed=seed)
    assert from_dict(through_yaml(to_dict(run))) == run


@settings(deadline=None, max_examples=25)
@given(seeds=st.lists(st.integers(0, 2**32), min_size=2, max_size=20, unique=True))
def test_two_seeds_never_share_a_key(seeds):
    assert len({replace(FINETUNE, seed=seed).key for seed in seeds}) == len(seeds)


def test_resources_and_tracking_are_no_part_of_a_run():
    assert not {"data", "threads", "device", "wandb", "group"} & set(json.dumps(to_dict(FINETUNE)).split('"'))


def test_ancestors_come_before_what_needs_them():
    assert list(ancestors(FINETUNE)) == [PREPARE, PREPARE, PRETRAIN]
    assert list(ancestors(PREPARE)) == []


def test_a_chain_is_named_left_to_right_with_the_datasets_that_differ():
    elsewhere = Pretrain(Prepare("mura"), "simclr", SimCLR(), init="imagenet")
    assert init_name(elsewhere, "mura") == "imagenet+simclr"
    assert init_name(elsewhere, "nct") == "imagenet+simclr@mura"
    assert init_name("random", "nct") == "random"


def test_an_unknown_key_is_told_with_the_legal_ones_and_the_nearest():
    values = to_dict(FINETUNE)
    values["recipe"]["ramp_epoch"] = 5
    with pytest.raises(UserError, match=r"'ramp_epoch' in config\.recipe.*Did you mean 'ramp_epochs'\?.*weight_decay"):
        from_dict(values)


@pytest.mark.parametrize("bad", [{"knd": "csv"}, {"kind": "csv", "colour": 1}])
def test_unknown_keys_are_found_at_depth(bad):
    values = to_dict(PREPARE)
    values["source"] = bad
    with pytest.raises(UserError, match=r"config\.source.*Legal: clean_label, image, kind"):
        from_dict(values)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("stage", "finetun", "finetune, prepare, pretrain"),
        ("method", "coteachin", "coteaching"),
        ("sed", 1, "'sed'.*seed"),
        ("recipe", {"epochs": "many"}, "config.recipe: 'epochs'.*many"),
        ("recipe", {"epochs": 1.5}, "config.recipe: 'epochs'.*1.5"),
        ("noise", {"rate": "half"}, "config.noise: 'rate'.*half"),
        ("allowed", {"hflip": "perhaps"}, "config.allowed: 'hflip'.*perhaps"),
        ("prepare", {"stage": "prepare"}, r"config\.prepare: 'dataset' is missing"),
    ],
)
def test_bad_values_are_told_with_their_place(key, value, told):
    with pytest.raises(UserError, match=told):
        from_dict(to_dict(FINETUNE) | {key: value})


def test_a_whole_number_where_a_float_is_meant_is_the_same_run():
    run = replace(FINETUNE, noise=Noise("symmetric", 0))
    assert run.key == from_dict(to_dict(run)).key


def test_a_fraction_is_part_of_the_key_and_of_the_name():
    parts = [replace(run, fraction=fraction) for run in (PRETRAIN, FINETUNE) for fraction in (1, 0.5, 0.125, 0.1251)]
    assert len({run.key for run in parts}) == len({run.name for run in parts}) == len(parts)
    assert [parts[0].key, parts[4].key] == [PRETRAIN.key, FINETUNE.key]
    assert parts[2].name == "nct 12.5% imagenet+simclr seed 1"
    assert parts[6].name == "nct 12.5% imagenet+simclr > coteaching, symmetric 0.5, seed 2"
    assert all(from_dict(through_yaml(to_dict(run))).key == run.key for run in parts)


def test_transition_noise_is_named_by_its_matrix():
    one, two = (Noise("transition", 0.2, matrix={name: {name: 0.8, "c": 0.2}}) for name in "ab")
    assert re.fullmatch("transition-[0-9a-f]{4}", one.name) and one.name != two.name
    run = replace(FINETUNE, noise=one)
    assert one.name == replace(one, seed=7).name == from_dict(through_yaml(to_dict(run))).noise.name
    assert f", {one.name} 0.2, seed 2" in run.name
    assert [Noise().name, Noise("symmetric", 0.2).name] == ["none", "symmetric"]


@pytest.mark.parametrize("missing", ["fraction", "init", "noise", "seed", "recipe"])
def test_what_has_a_default_may_be_left_out(missing):
    values = to_dict(replace(FINETUNE, init="random", noise=Noise(), seed=0))
    del values[missing]
    assert from_dict(values) == replace(FINETUNE, init="random", noise=Noise(), seed=0)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("seed", "x", "'seed'"),
        ("seed", 1.0, "'seed'"),
        ("fraction", "half", "'fraction' is 'half'"),
        ("fraction", 0, "'fraction' is 0"),
        ("init", [1], "'init'"),
        ("init", to_dict(PREPARE), r"config\.init: a run of stage 'prepare'"),
        ("prepare", to_dict(PRETRAIN), r"config\.prepare: a run of stage 'pretrain'"),
        ("recipe", {"augmentation": {"blurp": 1}}, "Did you mean 'blur_p'"),
    ],
)
def test_what_cannot_stand_there_is_refused(key, value, told):
    with pytest.raises(UserError, match=told):
        from_dict(to_dict(FINETUNE) | {key: value})


def test_a_number_that_is_not_finite_has_no_key():
    with pytest.raises(UserError, match="not finite"):
        assert replace(FINETUNE, noise=Noise("symmetric", float("nan"))).key
