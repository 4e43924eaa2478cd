"""Command lines of `key=value` words, and the two ways a command ends badly."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from noisewise.errors import UserError, unknown
from noisewise.grid.files import merge
from noisewise.runs.schema import build

Schema = TypeVar("Schema")

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def parse(words: Sequence[str], schema: type[Schema], extra: bool = False) -> tuple[Schema, dict[str, Any]]:
    """Words as an instance of `schema`; with `extra`, keys it does not have come back apart, nested at their dots.

    Raises:
        UserError: a word that is no `key=value`, an unknown key, a wrong type or a missing value.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    legal = {item.name: item for item in fields(schema)}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UserError(f"'{word}' is no key=value; type {next(iter(legal))}=… (help=true lists the keys).")
        try:
            values = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"'{word}' cannot be read as YAML: {' '.join(str(error).split())}") from None
        if key in legal and legal[key].type in ("str", str):
            values = {key: text}  # a path or a name stays as it was typed: runs=007 is no number
        if key in legal:
            own = merge(own, values)
        elif extra:
            others = merge(others, values)
        else:
            raise unknown("key", key, legal, "the command line")
    for name, item in legal.items():
        if name not in own and item.default is MISSING and item.default_factory is MISSING:
            raise UserError(f"{name}=… is missing; help=true lists the keys.")
    return build(schema, own, "the command line"), others


def run(main: Callable[[list[str]], int], doc: str, schema: type) -> NoReturn:
    """Call `main` with the command line's words and exit with its status, wording what goes wrong for a person."""
    words = sys.argv[1:]
    if any(word in ("help=true", "--help", "-h", "help") for word in words):
        print(usage(doc, schema))
        sys.exit(DONE)
    try:
        status = main(words)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; type the same command again to go on from here", file=sys.stderr)
        status = INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left; what was to be done may not be
        status = SOME_FAILED
    except Exception:
        traceback.print_exc()
        print("this is a bug in noisewise: please report it with the lines above", file=sys.stderr)
        status = SOME_FAILED
    sys.exit(status)


def folder(text: str) -> Path:
    """A folder as it was typed, ~ expanded."""
    return Path(text).expanduser()


def usage(doc: str, schema: type) -> str:
    """The help text: the script's docstring, then each key with its default."""
    lines = [doc.strip(), "", "keys:"]
    for item in fields(schema):
        default = "(required)" if item.default is MISSING else item.default
        lines += [f"  {item.name + '=' + str(default):<34} {item.metadata.get('help', '')}".rstrip()]
    return "\n".join(lines)
