"""A method of the API: its parameters by kind, and what it does."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API: its parameters by kind ("!" after the kind: required), and what it does."""

    name: str
    params: dict[str, str]
    act: Callable[["TelegramServer", dict], Any]

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters as values: forms carry numbers and JSON as strings."""
        return {name: _value(self.params.get(name, "str"), value) for name, value in given.items()}

    def problems(self, params: dict) -> list[str]:
        found = [f"{self.name}: no parameter {name}" for name in params if name not in self.params]
        for name, kind in self.params.items():
            if name not in params:
                if kind.endswith("!"):
                    found.append(f"{self.name}: {name} is missing")
            elif not isinstance(params[name], SHAPES[kind.rstrip("!")]) or (
                isinstance(params[name], bool) and kind.rstrip("!") != "bool"
            ):
                found.append(f"{self.name}: {name} is not of kind {kind.rstrip('!')}: {params[name]!r}")
        return found


SHAPES = {"int": int, "chat": (int, str), "bool": bool, "str": str, "list": list, "dict": dict, "file": (str, bytes)}


class Methods(dict[str, Method]):
    """Methods of the API by their names in lower case."""

    def method(self, name: str, **params: str) -> Callable[[Callable], Callable]:
        """Registers what a method of the API does."""

        def register(act: Callable) -> Callable:
            self[name.lower()] = Method(name, params, act)
            return act

        return register


def _value(kind: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind = kind.rstrip("!")
    if kind in ("int", "chat"):
        return int(value) if re.fullmatch(r"-?\d+", value) else value
    if kind == "bool":
        return {"true": True, "false": False}.get(value.lower(), value)
    if kind in ("list", "dict"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value
