"""docs/settings.md and deploy/env.example name what bots/settings.py reads, no more and no less."""

import re
from pathlib import Path

import pytest

from adapters.models import catalogue
from bots.settings import read

ROOT = Path(__file__).parents[2]


class Listening(dict):
    """An empty environment that remembers which names were looked up."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return default


@pytest.fixture
def names(tmp_path):
    environment = Listening()
    read(environment, tmp_path)
    return environment.names


def test_every_setting_that_is_read_is_explained_and_no_other(names):
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(names)


def test_the_example_of_an_environment_lists_the_same(names):
    assert sorted(re.findall(r"^#(\w+)=", (ROOT / "deploy/env.example").read_text(), re.MULTILINE)) == sorted(names)


def test_the_guide_to_models_names_each_provider_that_speaks_with_its_default():
    rows = re.findall(
        r"^\| ([^|]+) \| `(\w+_API_KEY)` \| `([^`]+)` \|", (ROOT / "docs/guide/models.md").read_text(), re.MULTILINE
    )
    book = catalogue.providers()
    speaking = {
        (provider.label, provider.key, f"{name}:{provider.default}")
        for name, provider in book.items()
        if provider.default
    }
    assert set(rows) == speaking
