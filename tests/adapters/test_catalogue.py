"""What is known about providers and models."""

import pytest

from adapters.models import catalogue
from bots.settings import PROVIDERS


def test_every_provider_that_settings_know_is_in_the_book_under_its_variables():
    for name in set(PROVIDERS) - {"MODEL"}:
        provider = catalogue.providers()[name.lower()]
        assert (provider.key, provider.url) == (f"{name}_API_KEY", f"{name}_BASE_URL")
        assert provider.base_url.startswith(("https://", "http://127.0.0.1"))
        assert not provider.base_url.endswith("/")


def test_every_default_has_an_entry_of_its_own():
    for name, provider in catalogue.providers().items():
        if provider.default:
            assert f"{name}:{provider.default}" in catalogue.offered(name)
            assert catalogue.known(f"{name}:{provider.default}").window > 100_000


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


def test_prices_are_plausible():
    for who in catalogue.providers():
        for name in catalogue.offered(who):
            known = catalogue.known(name)
            if known.read is not None:
                assert 0 <= (known.cached or 0) <= known.read <= known.written < 100, name
