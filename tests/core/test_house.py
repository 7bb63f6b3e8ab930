"""Rules of the house that no linter knows."""

import re
from pathlib import Path

CORE = sorted(Path(__file__).resolve().parents[2].joinpath("core").rglob("*"))


def test_core_names_no_platform():
    names = re.compile(r"\b(telegram|slack|discord|whatsapp|messenger|instagram)\b", re.IGNORECASE)
    sources = [path for path in CORE if path.suffix in {".py", ".lua"}]
    assert len(sources) > 20
    assert [(path.name, found.group()) for path in sources if (found := names.search(path.read_text()))] == []


def test_every_script_says_what_it_promises():
    scripts = [path for path in CORE if path.suffix == ".lua" and path.name != "mailbox.lua"]
    assert scripts
    for path in scripts:
        first, second = path.read_text().splitlines()[:2]
        assert first.startswith("#!lua")
        assert second.startswith(f"-- {path.stem.upper()}")
