"""Which noise a grid or a command asks for, and what cannot be asked."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.grid import noises
from noisewise.grid.expand import expand, read_grid
from noisewise.grid.files import DatasetFile, GridFile, NoiseLevels, load_recipe
from noisewise.runs.config import GroupProbe, Noise, Source

PROBE = GroupProbe(resolution=32)

MATRIX = "cat: {cat: 0.8, dog: 0.2}\ndog: {cat: 0.4, dog: 0.6}\n"


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "matrix.yaml"
    path.write_text(MATRIX)
    return path


def test_levels_of_a_grid_each_once(matrix):
    asked = NoiseLevels(none=True, given=True, symmetric=[0.2, 0.2, 0], pairflip=[0.3], transition=[str(matrix)])
    kinds = [(noise.kind, noise.rate) for noise in noises.levels(asked, "here")]
    expected = [("none", 0), ("given", 0), ("symmetric", 0.2), ("pairflip", 0.3), ("transition", 0.3)]
    assert kinds == expected


def test_a_matrix_is_the_same_in_any_order(matrix, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("dog: {dog: 0.6, cat: 0.4}\ncat: {dog: 0.2, cat: 0.8}\n")
    assert repr(noises.read_matrix(str(matrix))) == repr(noises.read_matrix(str(other)))
    other.write_text("0: {0: 0.5, 1: 0.5}\n")
    assert noises.read_matrix(str(other)).matrix == {"0": {"0": 0.5, "1": 0.5}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat: {cat: 0.8, dog: 0.1}", "class 'cat': the probabilities sum to 0.9; they must sum to 1"),
        ("cat: {cat: 1.2, dog: -0.2}", "the probability of 'cat' is 1.2; it must be from 0 to 1"),
        ("cat: {cat: yes}", "the probability of 'cat' is True"),
        ("cat: [0.8, 0.2]", "must map labels to probabilities"),
        ("[[0.8, 0.2]]", "must map classes to labels"),
        ("", "must map classes to labels"),
        ("cat: {", "cannot be read"),
    ],
)
def test_matrices_that_are_none(tmp_path, text, words):
    path = tmp_path / "matrix.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        noises.read_matrix(str(path))


def test_words_of_a_command(matrix):
    assert noises.one("symmetric", 0.2, "", "here") == Noise("symmetric", 0.2)
    assert noises.one("given", 0, "", "here") == Noise("given")
    assert noises.one("transition", 0, str(matrix), "here").matrix["dog"] == {"cat": 0.4, "dog": 0.6}
    for words, message in (
        (("symetric", 0.2, ""), "unknown noise 'symetric' in here. Did you mean 'symmetric'"),
        (("symmetric", 0, ""), "noise=symmetric needs a rate"),
        (("symmetric", 1.0, ""), "must be at least 0 and below 1"),
        (("none", 0.2, ""), "rate=0.2 needs a kind of noise"),
        (("given", 0.2, ""), "rate=0.2 needs a kind of noise"),
        (("transition", 0, ""), "go together"),
        (("symmetric", 0.2, str(matrix)), "go together"),
        (("transition", 0.2, str(matrix)), "leave out rate=0.2"),
        (("transition", 0, "nowhere.yaml"), "there is no transition matrix nowhere.yaml"),
    ):
        with pytest.raises(UserError, match=message):
            noises.one(*words, "here")


def test_nobody_knows_the_rate_of_given_labels():
    with pytest.raises(UserError, match="coteaching has assume_rate=known, and the rate of given labels is not known"):
        read_grid("smoke", {"noise": {"given": True}})
    for assumed in (0.2, "estimated"):
        recipe = {"finetune": {"coteaching": {"assume_rate": assumed}}}
        grid = read_grid("smoke", {"noise": {"given": True, "symmetric": []}, "recipe": recipe})
        assert all(run.noise == Noise("given") and "given, seed" in run.name for run in grid.finetunes)


def test_groups_go_into_the_runs_and_are_missed_where_there_are_none():
    grid = read_grid(
        "full", {"noise": {"symmetric": [], "none": False}, "finetune": ["cross_entropy"], "init": ["random"]}
    )
    missing = {run.prepare.dataset for run in grid.finetunes if run.key in grid.missing}
    assert not missing and all(run.noise.groups for run in grid.finetunes if run.noise.kind == "class_dependent")
    dataset = DatasetFile(name="mine", source=Source(kind="folder", root="mine"))
    file = GridFile(datasets=["mine"], noise=NoiseLevels(class_dependent=[0.2]))
    (reason,) = set(expand("test", file, [dataset], load_recipe("quick")).missing.values())
    assert reason == "dataset mine has no groups of look-alikes; list them in its file, or set groups: auto"


def test_a_datasets_noise_has_its_seed_and_groups():
    dataset = DatasetFile(name="mine", groups=[["a", "b"]])

    def on_it(noise, of=dataset):
        return noises.on_dataset(noise, of, 3, lambda: PROBE)

    assert on_it(Noise("class_dependent", 0.2)) == Noise("class_dependent", 0.2, 3, [["a", "b"]])
    assert on_it(Noise("symmetric", 0.2)) == Noise("symmetric", 0.2, 3)
    assert on_it(Noise("given")) == Noise("given")
    auto = DatasetFile(name="mine", groups="auto")
    assert on_it(Noise("class_dependent", 0.2), auto) == Noise("class_dependent", 0.2, 3, probe=PROBE)
    assert on_it(Noise("symmetric", 0.2), auto) == Noise("symmetric", 0.2, 3)
