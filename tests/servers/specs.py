"""The platforms' own machine-readable descriptions, when they lie beside the checkout (../shared/specs).

A test that needs them calls `needed()`, which skips with the reason; a server asks `telegram()` or `discord()` for the
problems of a request and gets none where there is nothing to ask.
"""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PLACE = Path(__file__).resolve().parents[2].parent / "shared" / "specs" / "spec_check.py"


@functools.cache
def check() -> ModuleType | None:
    """The checker as a module, or None where it is absent."""
    if not PLACE.is_file():
        return None
    spec = importlib.util.spec_from_file_location("spec_check", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needed() -> ModuleType:
    """The checker; skips the calling test with a reason where it is absent."""
    module = check()
    if module is None:
        pytest.skip("the platforms' descriptions (../shared/specs) are not beside this checkout")
    return module


def telegram(method: str, params: dict) -> list[str]:
    """Problems of a Bot API call. The length of texts is left out: it counts after markup, which the server parses."""
    module = check()
    return [p for p in module.telegram(method, params) if ": text has " not in p] if module else []


def discord(method: str, path: str, body: object = None) -> list[str]:
    """Problems of a call of Discord's API."""
    module = check()
    return module.discord(method, path, body) if module else []
