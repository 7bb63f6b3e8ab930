"""Models on strict servers on loopback, or on servers that send just the bytes of a test."""

import asyncio

import pytest

from adapters.models.hosted import Hosted, Timeouts
from tests.adapters.models.provider import HAIKU, KEY, LUNA, SONNET, model_on
from tests.servers.models import ModelServer


@pytest.fixture
async def server():
    async with ModelServer(key=KEY, models=(LUNA, SONNET, HAIKU, "other")) as running:
        yield running


@pytest.fixture
def model(server, http):
    return model_on(server, http)


@pytest.fixture
async def raw(http):
    """Makes models on servers that send just these bytes."""
    listening = []

    async def made(*payloads, done=True, head=b"text/event-stream", name="openai:m"):
        whole = payloads if head != b"text/event-stream" else [b"data: " + p + b"\r\n\r\n" for p in payloads]
        sent = b"".join(whole) + b"data: [DONE]\n\n" * (done and head == b"text/event-stream")

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nConnection: close\r\n\r\n" % head + sent)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        listening.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening[-1].sockets[0].getsockname()[1]}/v1"
        return Hosted(name, url, "", http, timeouts=Timeouts(first=5))

    yield made
    for one in listening:
        one.close()
        await one.wait_closed()
