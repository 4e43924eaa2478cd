"""Values into dataclasses, strictly: OmegaConf does the checking, this file words the errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from noisewise.errors import UserError, unknown

Schema = TypeVar("Schema")


def build(schema: type[Schema], values: Mapping[str, Any], where: str) -> Schema:
    """`values` as an instance of the dataclass `schema`: defaults filled in, types converted, unknown keys refused.

    Raises:
        UserError: names the key, lists the legal ones and the nearest match; `where` says whose they are.
    """
    check_keys(schema, values, where)
    try:
        merged = OmegaConf.merge(_writable(OmegaConf.structured(schema)), OmegaConf.create(dict(values)))
        built = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = error.full_key or ""
        if type(error).__name__ == "MissingMandatoryValue":
            raise UserError(f"{where}: '{key}' is missing; give it a value.") from None
        raise UserError(f"{where}: {_say(schema, values, key, error)}") from None
    return built


def check_keys(schema: type, values: Mapping[str, Any], where: str) -> None:
    """Refuse keys that the dataclass does not have, at any depth, before OmegaConf words it worse."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected keys and values, got {values!r}.")
    legal = {item.name for item in fields(schema)}
    types = get_type_hints(schema)
    for key, value in values.items():
        if key not in legal:
            raise unknown("key", key, legal, where)
        if isinstance(value, Mapping) and is_dataclass(types[key]):
            check_keys(types[key], value, f"{where}.{key}")


def _say(schema: type, values: Mapping[str, Any], key: str, error: OmegaConfBaseException) -> str:
    """What is wrong, in the words of the one who typed it."""
    types = get_type_hints(schema)
    for name, value in values.items():
        if getattr(types[name], "__origin__", None) is list and not isinstance(value, list):
            return f"'{name}' takes a list: {name}=[{value}]."
        if is_dataclass(types[name]) and not isinstance(value, Mapping):
            return f"'{name}' takes keys of its own, not {value!r}: {', '.join(f.name for f in fields(types[name]))}."
    return f"'{key}': {(error.msg or str(error)).splitlines()[0]}"


def _writable(node: DictConfig) -> DictConfig:
    """Frozen dataclasses arrive read-only, every nested one with a flag of its own."""
    OmegaConf.set_readonly(node, False)
    for key in node:
        if isinstance(child := node._get_node(key), DictConfig):
            _writable(child)
    return node
