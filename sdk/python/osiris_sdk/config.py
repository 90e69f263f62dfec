"""The step's config as an object: by attribute and by item, or as the driver's own dataclass."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from . import _contract as contract
from .errors import ConfigError


class MissingOption(ConfigError, AttributeError, KeyError):
    """The config does not have the option that the driver asked for."""


class Config(Mapping[str, Any]):
    """A JSON object whose members are attributes and items: `config.url`, `config["url"]`, `config.get("url")`.

    Objects inside it are configs too. The schema's defaults are filled in; secrets are not in it.
    """

    def __init__(self, members: Mapping[str, Any], place: str = "config"):
        self._members = dict(members)
        self._place = place

    def __getitem__(self, name: str) -> Any:
        try:
            value = self._members[name]
        except KeyError:
            known = ", ".join(f"`{known}`" for known in self._members) or "nothing"
            raise MissingOption(f"`{self._place}` has no `{name}`; it has {known}") from None
        return _wrapped(value, f"{self._place}.{name}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"Config({self._members!r})"

    def as_dict(self) -> dict[str, Any]:
        """The plain JSON object."""
        return self._members


def _wrapped(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return Config(value, place)
    if isinstance(value, list):
        return [_wrapped(item, f"{place}[{at}]") for at, item in enumerate(value)]
    return value


def load(as_type: Any = None) -> Any:
    """The step's config: a `Config`, or a dataclass if `as_type` is one."""
    members = json.loads(contract.context.config())
    if dataclasses.is_dataclass(as_type):
        return _converted(members, as_type, "config")
    return Config(members)


def _converted(value: Any, to: Any, place: str) -> Any:
    """A JSON value as a field of a dataclass wants it.

    The host has checked the config against the driver's schema, so this only checks what the two can disagree about:
    which members there are.
    """
    if isinstance(to, type) and dataclasses.is_dataclass(to):
        if not isinstance(value, dict):
            raise ConfigError(f"`{place}` is not an object")
        hints = typing.get_type_hints(to)
        fields = [field for field in dataclasses.fields(to) if field.init]
        required = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        for name in required:
            if name not in value:
                raise MissingOption(f"`{place}` has no `{name}`")
        given = {field.name: value[field.name] for field in fields if field.name in value}
        return to(**{name: _converted(item, hints[name], f"{place}.{name}") for name, item in given.items()})
    origin, arguments = typing.get_origin(to), typing.get_args(to)
    if origin in (typing.Union, types.UnionType):
        choices = [choice for choice in arguments if choice is not type(None)]
        return value if value is None or len(choices) != 1 else _converted(value, choices[0], place)
    if origin is list and arguments and isinstance(value, list):
        return [_converted(item, arguments[0], f"{place}[{at}]") for at, item in enumerate(value)]
    if origin is dict and len(arguments) == 2 and isinstance(value, dict):
        return {name: _converted(item, arguments[1], f"{place}.{name}") for name, item in value.items()}
    if to is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if to is Config and isinstance(value, dict):
        return Config(value, place)
    return value
