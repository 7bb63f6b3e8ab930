"""Which model is chosen, and what is said where none can be."""

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


async def test_a_providers_own_address_changes_nothing(tmp_path):
    for url in ("https://api.anthropic.com", "https://api.anthropic.com/v1"):
        async with registry(tmp_path, anthropic=("key", url)) as made:
            assert (made.speaking, made.why) == ("anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY is set")


async def test_the_first_model_of_a_server_that_speaks_messages_is_asked_for_in_its_way(tmp_path):
    async with (
        ModelServer(key="k", models=("claude-9", "other")) as server,
        registry(tmp_path, anthropic=("k", server.url.removesuffix("/v1"))) as made,
    ):
        assert made.speaking == "anthropic:claude-9"


async def test_each_model_of_a_chain_has_its_own_effort(tmp_path):
    async with registry(tmp_path, "anthropic:claude-opus-5-5@high", "openai:gpt-6-luna@low", "groq:qwen/x") as made:
        chain = await made.default()
        names = ["anthropic:claude-opus-5-5@high", "openai:gpt-6-luna@low", "groq:qwen/x"]
        assert [model.name for model in chain.models] == names


async def test_a_provider_that_nobody_knows_is_told_with_those_that_can_be_named(tmp_path):
    for name in ("openia:gpt-6-luna", "local:something"):
        async with registry(tmp_path, name) as made:
            assert made.speaking == "offline"
            known = made.why.rpartition("Known: ")[2].rstrip(".").split(", ")
            assert len(known) == len(set(known))
            assert {"openai", "responses", "anthropic", "muse", "ollama", "builtin"} <= set(known)
            assert name.partition(":")[0] not in known


async def test_muse_spark_is_set_up_by_the_variables_of_its_maker(tmp_path):
    async with registry(tmp_path, model=("key", "")) as made:
        assert (made.speaking, made.why) == ("muse:muse-spark-1.3", "MODEL_API_KEY is set")
        assert "muse:muse-spark-1.3" in made.offered()
    async with registry(tmp_path, "muse:muse-spark-1.3@low", model=("key", "")) as made:
        assert made.speaking == "muse:muse-spark-1.3@low"


async def test_openais_key_serves_both_of_its_protocols_and_offers_each_model_once(tmp_path):
    async with registry(tmp_path, openai=("key", "")) as made:
        assert made.speaking == "openai:gpt-6-luna"
        offered = made.offered()
        assert made.named("responses:gpt-6-luna@high").name == "responses:gpt-6-luna@high"
        assert not any(name.startswith("responses:") for name in offered)


async def test_the_same_model_is_kept_once_for_each_effort_that_it_has(tmp_path):
    async with registry(tmp_path, "anthropic:claude-opus-5-5", anthropic=("key", "")) as made:
        plain = await made.default()
        assert made.named("anthropic:claude-opus-5-5@none") is plain  # it cannot stop thinking
        high = made.named("anthropic:claude-opus-5-5@high")
        assert high is made.named("anthropic:claude-opus-5-5@high")
        assert high.name == "anthropic:claude-opus-5-5@high"
        assert made.named("anthropic:claude-opus-5-5@hihg") is None


async def test_an_effort_that_no_model_has_is_told(tmp_path):
    async with registry(tmp_path, "openai:gpt-6-luna@hihg") as made:
        assert made.speaking == "offline"
        assert "'hihg'" in made.why
        assert "xhigh" in made.why
