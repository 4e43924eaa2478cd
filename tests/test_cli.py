"""Command lines of key=value words."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from noisewise import cli
from noisewise.errors import UserError


@dataclass
class Words:
    grid: str = field(metadata={"help": "what to run"})
    runs: str = "runs"
    dry_run: bool = False
    rate: float = 0.0


def test_words_become_typed_values():
    asked, _ = cli.parse(["grid=demo", "dry_run=true", "rate=0.5"], Words)
    assert (asked.grid, asked.dry_run, asked.rate, asked.runs) == ("demo", True, 0.5, "runs")


def test_names_and_paths_stay_as_they_were_typed():
    asked, _ = cli.parse(["grid=007", "runs=/a=b/1e3"], Words)
    assert (asked.grid, asked.runs) == ("007", "/a=b/1e3")


def test_other_keys_nest_at_their_dots():
    _, others = cli.parse(["grid=demo", "recipe.all.epochs=3", "recipe.all.lr=.1", "seeds=[1,2]"], Words, extra=True)
    assert others == {"recipe": {"all": {"epochs": 3, "lr": 0.1}}, "seeds": [1, 2]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo"], "'demo' is no key=value"),
        (["grid=demo", "rate=[1"], "cannot be read as YAML"),
        (["gird=demo"], "unknown key 'gird'.*Did you mean 'grid'"),
        ([], "grid=… is missing"),
        (["grid=demo", "rate=half"], "'rate'.*half"),
    ],
)
def test_mistakes_are_named(words, message):
    with pytest.raises(UserError, match=message):
        cli.parse(words, Words)


def test_usage_lists_keys_with_their_defaults():
    text = cli.usage("What it does.", Words)
    assert "grid=(required)" in text and "what to run" in text and "dry_run=False" in text


def test_anything_else_is_a_bug_of_ours(capsys, monkeypatch):
    def main(words):
        raise ZeroDivisionError

    monkeypatch.setattr("sys.argv", ["submit.py", "grid=demo"])
    with pytest.raises(SystemExit) as end:
        cli.run(main, "doc", Words)
    assert end.value.code == cli.SOME_FAILED
    assert "please report it" in capsys.readouterr().err


def test_bad_input_exits_with_two(capsys, monkeypatch):
    def main(words):
        raise UserError("no such thing; type another")

    monkeypatch.setattr("sys.argv", ["submit.py", "grid=demo"])
    with pytest.raises(SystemExit) as end:
        cli.run(main, "doc", Words)
    assert end.value.code == cli.BAD_INPUT
    assert "error: no such thing; type another" in capsys.readouterr().err
