"""What is known about providers and models."""

import pytest

from adapters.models import catalogue
from bots.settings import PROVIDERS


def test_every_provider_that_settings_know_is_in_the_book_under_its_variables():
    for name in PROVIDERS:
        provider = catalogue.providers()["muse" if name == "MODEL" else name.lower()]
        assert (provider.key, provider.url) == (f"{name}_API_KEY", f"{name}_BASE_URL")
        assert provider.base_url.startswith(("https://", "http://127.0.0.1"))
        assert not provider.base_url.endswith("/")


def test_every_default_has_an_entry_of_its_own():
    for name, provider in catalogue.providers().items():
        if provider.default:
            assert f"{name}:{provider.default}" in catalogue.offered(name)
            assert catalogue.known(f"{name}:{provider.default}").window > 100_000


def test_every_entry_has_a_provider_and_every_effort_a_name():
    for who in catalogue.providers():
        for name in catalogue.offered(who):
            known = catalogue.known(name)
            assert set(known.efforts) <= set(catalogue.EFFORTS), name
            assert "reasoning" in known.abilities or not known.efforts, name
            assert known.longest or catalogue.provider(who).protocol != "messages", name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("openai:gpt-6-luna@high", ("openai", "gpt-6-luna", "high")),
        ("openai:gpt-6-luna", ("openai", "gpt-6-luna", "")),
        ("openai:gpt-4o@high", ("openai", "gpt-4o", "")),  # it does not think
        ("anthropic:claude-opus-5-5@none", ("anthropic", "claude-opus-5-5", "")),  # it cannot stop
        ("responses:gpt-6-sol-2026-09-22@none", ("responses", "gpt-6-sol-2026-09-22", "none")),
        ("ollama:nobody-knows@low", ("ollama", "nobody-knows", "low")),
        ("ollama:@cf/meta/model@20251001", ("ollama", "@cf/meta/model@20251001", "")),
    ],
)
def test_an_effort_stands_behind_the_name(name, parts):
    assert catalogue.parted(name) == parts
    assert not catalogue.mistaken(name)


def test_an_unknown_model_has_a_small_window_and_no_price():
    for name in ("openai:nobody-knows", "nowhere:gpt-6-luna", "builtin:x", "plain"):
        known = catalogue.known(name)
        assert known.window == 32_768
        assert known.cost(1000, 0, 1000) is None


@pytest.mark.parametrize("name", ["gpt-5.4-mini", "gpt-5.4-mini-2026-03-17", "gpt-5.4-mini-latest"])
def test_a_dated_name_is_the_same_model(name):
    assert catalogue.known(f"openai:{name}").written == 4.5


def test_another_model_of_the_family_gets_the_window_and_never_the_price():
    known = catalogue.known("openai:gpt-5.4-pro")
    assert known.window == catalogue.known("openai:gpt-5.4").window
    assert known.cost(1, 0, 1) is None


def test_cached_tokens_cost_what_the_cache_costs():
    known = catalogue.Known(read=2.0, cached=0.5, written=8.0)
    assert known.cost(1_000_000, 400_000, 100_000) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.1 * 8)
    assert catalogue.Known(read=2.0, written=8.0).cost(1_000_000, 1_000_000, 0) == pytest.approx(2.0)


def test_what_is_stored_in_the_cache_costs_what_that_costs():
    known = catalogue.Known(read=2.0, cached=0.5, stored=2.5, written=8.0)
    assert known.cost(1_000_000, 400_000, 0, 300_000) == pytest.approx(0.3 * 2 + 0.4 * 0.5 + 0.3 * 2.5)
    assert catalogue.Known(read=2.0, written=8.0).cost(1_000_000, 0, 0, 1_000_000) == pytest.approx(2.0)
    assert catalogue.known("anthropic:claude-sonnet-5-5-beta").stored is None


def test_prices_are_plausible():
    for who in catalogue.providers():
        for name in catalogue.offered(who):
            known = catalogue.known(name)
            if known.read is not None:
                assert 0 <= (known.cached or 0) <= known.read <= (known.stored or known.read) <= known.written < 100, (
                    name
                )
