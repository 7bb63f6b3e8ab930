"""A method of the Web API: its arguments by kind, its token and scopes, its tier, and what it does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

SHAPES = {"int": int, "bool": bool, "str": str, "list": list, "dict": dict}


@dataclass(frozen=True, slots=True)
class Method:
    """One method: `params` by kind ("!" after the kind: required), the `tier` of its limit, any one of the `scopes`."""

    name: str
    tier: str
    scopes: tuple[str, ...]
    token: str
    only_form: bool
    params: dict[str, str]
    act: Callable[["SlackServer", dict], Any]

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments as values: forms carry numbers, truths and JSON as strings."""
        read = {name: _value(self.params.get(name, "str"), value) for name, value in given.items()}
        return {name: value for name, value in read.items() if value is not None}

    def problems(self, params: dict) -> list[str]:
        """What a real platform would pass over in silence, and no adapter of ours should send."""
        found = [f"{self.name}: no argument {name}" for name in params if name not in self.params]
        for name, value in params.items():
            kind = self.params.get(name, "").rstrip("!")
            if kind and (not isinstance(value, SHAPES[kind]) or (isinstance(value, bool) and kind != "bool")):
                found.append(f"{self.name}: {name} is not of kind {kind}: {value!r}")
        return found

    def check(self, params: dict) -> None:
        """Refuses what lacks or garbles an argument."""
        for name, kind in self.params.items():
            if kind.endswith("!") and params.get(name) in (None, ""):
                why = MISSING.get(name)
                if why:
                    raise Refused(why)
                raise Refused(
                    "invalid_arguments", response_metadata={"messages": [f"[ERROR] missing required field: {name}"]}
                )
            shape = SHAPES[kind.rstrip("!")]
            if shape in (list, dict) and not isinstance(params.get(name, shape()), shape):
                raise Refused(GARBLED.get(name, "invalid_arguments"))


MISSING = {"channel": "channel_not_found", "user": "user_not_found", "timestamp": "bad_timestamp"}
GARBLED = {"blocks": "invalid_blocks_format", "metadata": "invalid_metadata_format", "chunks": "invalid_chunks"}


class Methods(dict[str, Method]):
    """Methods of the API by name."""

    def method(
        self,
        name: str,
        tier: str,
        scopes: str = "",
        /,
        *,
        token: str = "bot",
        only_form: bool = False,
        **params: str,
    ) -> Callable[[Callable], Callable]:
        """Registers what a method does; any one of the scopes suffices."""

        def register(act: Callable) -> Callable:
            self[name] = Method(name, tier, tuple(scopes.split()), token, only_form, params, act)
            return act

        return register


def _value(kind: str, value: Any) -> Any:
    kind = kind.rstrip("!")
    if kind == "str" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return value
    if kind == "int":
        return int(value) if value.lstrip("-").isdigit() else value
    if kind == "bool":
        return {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)
    if kind in ("list", "dict"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value
