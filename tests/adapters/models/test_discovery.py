"""Model servers that run on this machine are found, and those that do not answer hold nothing up."""

import asyncio
import time

import pytest

from adapters.models.discovery import Place, first_model, local_servers
from core.errors import ModelRefusedKey
from tests.adapters.models.provider import KEY, LUNA
from tests.servers.models import ModelServer


async def test_servers_on_this_machine_are_found(server, http):
    async with ModelServer(models=("text-embedding-3", "llama-9")) as near, ModelServer(models=()) as empty:
        nowhere = Place("Nobody", "local", "http://127.0.0.1:9/v1")
        places = (nowhere, Place("Empty", "local", empty.url), Place("Near", "ollama", near.url))
        found = await local_servers(http, places)
        assert (found.label, found.name, found.base_url) == ("Near", "ollama:llama-9", near.url)
        assert await local_servers(http, (nowhere,)) is None
    assert await first_model(http, server.url, KEY, "openai") == LUNA
    with pytest.raises(ModelRefusedKey, match="OPENAI_API_KEY"):
        await first_model(http, server.url, "wrong", "openai")


async def test_a_mute_server_does_not_hold_up_the_search(http):
    async def mute(reader, writer):
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        began = time.monotonic()
        assert await local_servers(http, (Place("Mute", "local", url),)) is None
        assert 0.2 < time.monotonic() - began < 1.5
