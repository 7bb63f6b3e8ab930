"""Which model is chosen, and what is said where none can be."""

import logging
from contextlib import asynccontextmanager

from adapters.http import Http
from adapters.models.registry import Plan, Registry
from core.prompt import warming
from tests.servers.models import ModelServer


@asynccontextmanager
async def registry(folder, *models, **providers):
    http = Http()
    plan = Plan(models, providers, folder / "cache", "", folder, warming("2 + 2", ()), "calculate")
    made = Registry(http, plan)
    try:
        await made.prepare()
        yield made
    finally:
        await made.close()
        await http.close()


async def test_what_is_set_by_name_speaks(tmp_path):
    async with registry(tmp_path, "groq:anything", openai=("key", "")) as made:
        assert (made.speaking, made.why) == ("groq:anything", "PIERIA_MODEL")


async def test_without_a_name_the_first_key_speaks_with_its_providers_default(tmp_path):
    async with registry(tmp_path, gemini=("key", ""), groq=("key", "")) as made:
        assert (made.speaking, made.why) == ("gemini:gemini-3.8-flash", "GEMINI_API_KEY is set")


async def test_without_a_key_the_first_model_of_a_base_url_speaks(tmp_path):
    async with (
        ModelServer(models=("bge-embed", "ours", "other")) as server,
        registry(tmp_path, openai=("", server.url)) as made,
    ):
        assert (made.speaking, made.why) == ("openai:ours", "OPENAI_BASE_URL is set")


async def test_a_provider_that_nobody_knows_is_told_with_those_that_can_be_named(tmp_path):
    for name in ("openia:gpt-6-luna", "local:something", "anthropic:claude-sonnet-5-5"):
        async with registry(tmp_path, name) as made:
            assert made.speaking == "offline"
            known = made.why.rpartition("Known: ")[2].rstrip(".").split(", ")
            assert len(known) == len(set(known))
            assert {"openai", "ollama", "builtin"} <= set(known)
            assert name.partition(":")[0] not in known


async def test_a_key_whose_provider_cannot_be_spoken_with_is_told_and_the_next_one_speaks(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        async with registry(tmp_path, anthropic=("secret", ""), groq=("key", "")) as made:
            assert made.speaking == "groq:openai/gpt-oss-120b"
    assert "ANTHROPIC_API_KEY is set, but Pieria does not speak with Anthropic yet" in caplog.text
    assert "secret" not in caplog.text
