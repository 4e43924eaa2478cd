"""Grid, dataset and recipe files: reading, layering, and files that are no good."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.grid.files import JOBS, load_dataset, load_grid, load_recipe, merge, resolve_recipe
from noisewise.runs.methods import METHODS


def write(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_method_defaults_where_a_recipe_is_silent():
    recipe = resolve_recipe(load_recipe({}), "pretrain", "simclr", "any")
    assert (recipe.temperature, recipe.projector_out) == (0.07, 128)


def test_the_particular_wins_over_the_general():
    layers = load_recipe(
        {
            "all": {"epochs": 1, "batch": 8},
            "pretrain": {"all": {"epochs": 2}, "simclr": {"epochs": 3}},
            "datasets": {"mine": {"pretrain": {"simclr": {"epochs": 4}}}},
        }
    )
    assert resolve_recipe(layers, "pretrain", "simclr", "mine").epochs == 4
    assert resolve_recipe(layers, "pretrain", "simclr", "other").epochs == 3
    assert resolve_recipe(layers, "pretrain", "vae", "other").epochs == 2
    assert resolve_recipe(layers, "finetune", "cross_entropy", "other").epochs == 1
    assert resolve_recipe(layers, "finetune", "cross_entropy", "other").batch == 8


def test_a_recipe_wins_over_all_of_its_base(tmp_path):
    write(tmp_path, "below", "datasets: {mine: {pretrain: {simclr: {epochs: 800}}}}\nsize: 256")
    write(tmp_path, "above", "base: below\npretrain: {all: {epochs: 5}}")
    layers = load_recipe("above", folder=tmp_path)
    assert resolve_recipe(layers, "pretrain", "simclr", "mine").epochs == 5


def test_the_command_line_wins_over_everything():
    layers = load_recipe("paper", {"pretrain": {"simclr": {"epochs": 70}}})
    assert resolve_recipe(layers, "pretrain", "simclr", "fetal").epochs == 70


def test_the_papers_epochs():
    layers = load_recipe("paper")
    epochs = {name: resolve_recipe(layers, "pretrain", "simclr", name).epochs for name in ("fetal", "dermnet", "nct")}
    assert epochs == {"fetal": 800, "dermnet": 600, "nct": 500}


def test_bases_that_go_in_a_circle(tmp_path):
    write(tmp_path, "one", "base: two")
    write(tmp_path, "two", "base: one")
    with pytest.raises(UserError, match="its own base"):
        load_recipe("one", folder=tmp_path)


def test_paths_stand_wherever_names_do(tmp_path):
    dataset = write(tmp_path, "scans", "source: {kind: folder, root: scans}")
    recipe = write(tmp_path, "mine", "base: quick\nall: {epochs: 3}")
    grid = load_grid(write(tmp_path, "grid", f"datasets: [{dataset}]\nrecipe: {recipe}\nnoise: {{none: true}}"))
    assert load_dataset(grid.datasets[0]).name == "scans"
    assert resolve_recipe(load_recipe(grid.recipe), "finetune", "coteaching", "scans").epochs == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("split: {val: 2, test: 3}", "split.val is 2"),
        ("split: {val: 0.5, test: 0.6}", "split.val . split.test"),
        ("size: -3", "size is -3"),
        ("quality: 900", "quality is 900"),
        ("normalise: {mean: [0.5], std: [0.5]}", "three means"),
        ("source: {kind: fodler, root: x}", "Did you mean 'folder'"),
        ("sorce: {kind: folder}", "Did you mean 'source'"),
        ("fit: squash", "Legal: crop, pad, resize"),
        ("format: png", "Legal: auto, jpeg, raw"),
        ("size: big", "'size'"),
        ("intensity: strech", "intensity 'strech' is no rule. Legal: declared, stretch"),
        ("intensity: '240:-160'", "intensity '240:-160' is no rule"),
        ("intensity: 10:20", "in quotes"),  # YAML takes it for minutes and seconds
        ("max_rejected: 1", "max_rejected is 1"),
        ("max_rejected: -0.1", "max_rejected is -0.1"),
        ("groups: [[a, b], [c, a]]", "groups name class 'a' 2 times"),
        ("groups: [[a, a]]", "groups name class 'a' 2 times"),
        ("groups: [[a, 1]]", "it takes lists of look-alike classes"),
        ("groups: [a, b]", "it takes lists of look-alike classes"),
        ("groups: automatic", "groups is 'automatic'; it takes lists of look-alike classes, .*, or auto"),
        ("groups: {auto: simcl}", "unknown initialisation 'simcl' in .*groups. Did you mean 'simclr'"),
        ("groups: {auto: 1}", "auto takes an initialisation"),
        ("groups: {by: simclr}", "unknown key 'by' in .*groups"),
        ("[1, 2]", "expected keys and values"),
        ("a: b: c", "no valid YAML"),
        ("name: a/b", "can name a folder"),
        ("source: {kind: folder, root: a, label: diagnosis}", "source.label says nothing to kind folder"),
        ("size: 64", "source.root is missing"),
        ("source: {kind: medmnist, root: a.npz, patient: id}", "source.patient says nothing to kind medmnist"),
    ],
)
def test_dataset_files_that_are_no_good(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        load_dataset(write(tmp_path, "mine", text))


def test_a_file_that_lies_here_is_no_name(tmp_path, monkeypatch):
    write(tmp_path, "scans", "source: {root: scans}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="type dataset=scans.yaml"):
        load_dataset("scans")


def test_what_a_preparation_is_told_reaches_it(tmp_path):
    text = "source: {root: scans}\nintensity: '-160:240'\nmax_rejected: 0.2\ngroups: [[a, b], [c, d]]\nformat: auto"
    prepare = load_dataset(write(tmp_path, "mine", text)).prepare()
    assert (prepare.intensity, prepare.max_rejected, prepare.format) == ("-160:240", 0.2, "auto")


@pytest.mark.parametrize("path", sorted((JOBS / "dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_datasets_load(path):
    dataset = load_dataset(path.stem)
    assert dataset.name == path.stem
    assert dataset.images and dataset.about


@pytest.mark.parametrize("path", sorted((JOBS / "recipe").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path):
    layers = load_recipe(path.stem)
    assert layers[-2].about, "the command line's layer comes last"
    for stage, methods in METHODS.items():
        assert all(resolve_recipe(layers, stage, method, "nct") for method in methods)


def test_paths_in_a_grid_are_looked_for_beside_it(tmp_path, monkeypatch):
    write(tmp_path, "scans", "source: {kind: folder, root: scans}")
    grid = write(tmp_path, "grid", "datasets: [scans.yaml]")
    monkeypatch.chdir("/")
    assert load_grid(grid).datasets == [str(tmp_path / "scans.yaml")]


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "grid.yaml").write_bytes(b"about: caf\xe9")
    with pytest.raises(UserError, match="grid.yaml is no valid YAML"):
        load_grid(str(tmp_path / "grid.yaml"))


def test_merge_is_deep_and_leaves_its_inputs_alone():
    below, above = {"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}
    assert merge(below, above) == {"a": {"b": 1, "c": 3}, "d": 4}
    assert below == {"a": {"b": 1, "c": 2}}
