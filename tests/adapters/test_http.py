"""The shared client, and that no secret reaches a log."""

import asyncio
import logging
import socket

import aiohttp
import httpx
import pytest
from aiohttp import web

from adapters import http as http_module
from adapters.http import HIDDEN, Http, Redaction, loopback, precise, quiet, redact

LIMITS = httpx.Timeout(5.0)


async def served(handler, make_site):
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await make_site(runner).start()
    return runner


async def test_an_answer_is_read_as_it_comes(http):
    go = asyncio.Event()

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await go.wait()
        await response.write(b"two")
        return response

    runner = await served(handler, lambda r: web.TCPSite(r, "127.0.0.1", 0))
    try:
        answer = await http.call("GET", f"http://127.0.0.1:{runner.addresses[0][1]}/", headers={}, timeout=LIMITS)
        assert await answer.read(5) == b"one"
        with pytest.raises(httpx.ReadTimeout):
            await answer.read(0.01)
        await answer.close()
        go.set()
        again = await http.call("GET", f"http://127.0.0.1:{runner.addresses[0][1]}/", headers={}, timeout=LIMITS)
        assert await again.whole(100, 5) == b"onetwo"
    finally:
        await runner.cleanup()


async def test_what_comes_within_a_moment_is_read_at_once_and_the_end_is_not_waited_for(http):
    go, first = asyncio.Event(), asyncio.Event()

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"one", b"two", b"three"):
            await response.write(piece)
            first.set()
            await asyncio.sleep(0.01)
        await go.wait()
        return response

    runner = await served(handler, lambda r: web.TCPSite(r, "127.0.0.1", 0))
    try:
        answer = await http.call("GET", f"http://127.0.0.1:{runner.addresses[0][1]}/", headers={}, timeout=LIMITS)
        await first.wait()
        await answer.gather(0.2)
        assert await answer.read(5) == b"onetwothree"
        go.set()
        async with asyncio.timeout(5):
            await answer.gather(60)
            await answer.gather(60)
        assert await answer.read(5) == b""
    finally:
        await runner.cleanup()


async def test_a_unix_socket_is_reached_like_any_server(http, tmp_path):
    path = str(tmp_path / "s")

    async def handler(request):
        return web.Response(text=f"{request.host}{request.path}")

    runner = await served(handler, lambda r: web.UnixSite(r, path))
    try:
        for _ in range(2):
            answer = await http.call("GET", "http://localhost/v1/x", headers={}, timeout=LIMITS, uds=path)
            assert await answer.whole(100, 5) == b"localhost/v1/x"
    finally:
        await runner.cleanup()


async def test_a_refused_connection_is_a_connect_error_and_no_timeout(http, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        with pytest.raises(httpx.ConnectError):
            await http.call("GET", f"http://127.0.0.1:{taken.getsockname()[1]}/", headers={}, timeout=LIMITS)
    with pytest.raises(httpx.ConnectError):
        await http.call("GET", "http://localhost/", headers={}, timeout=LIMITS, uds=str(tmp_path / "none"))


async def test_a_server_that_hangs_up_or_talks_nonsense_is_named_so(http):
    for said, kind in ((b"", httpx.RemoteProtocolError), (b"What do you want?\r\n\r\n", httpx.RemoteProtocolError)):

        async def rude(reader, writer, said=said):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.close()

        server = await asyncio.start_server(rude, "127.0.0.1", 0)
        async with server:
            with pytest.raises(kind):
                await http.call(
                    "GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", headers={}, timeout=LIMITS
                )


async def test_a_server_that_never_answers_times_out(http):
    async def mute(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(httpx.ReadTimeout):
            await http.call("GET", url, headers={}, timeout=httpx.Timeout(5, read=0.05))


def test_every_failure_of_aiohttp_has_an_httpx_name():
    kinds = [
        kind
        for kind in vars(aiohttp.client_exceptions).values()
        if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError)
    ]
    assert len(kinds) > 20
    for kind in kinds:
        error = kind.__new__(kind)
        matched = next((meant for cause, meant in http_module._CAUSES if isinstance(error, cause)), None)
        assert matched is not None, kind
        assert issubclass(matched, httpx.TransportError)
    assert isinstance(precise(TimeoutError()), httpx.ReadTimeout)


async def test_a_proxy_is_used_for_the_world_and_never_for_this_machine(monkeypatch):
    asked = []

    async def proxy(request):
        asked.append(request.path_qs if request.method != "CONNECT" else request.path)
        return web.Response(text="by proxy")

    async def handler(request):
        return web.Response(text="direct")

    relay = await served(proxy, lambda r: web.TCPSite(r, "127.0.0.1", 0))
    near = await served(handler, lambda r: web.TCPSite(r, "127.0.0.1", 0))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{relay.addresses[0][1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    http = Http()
    try:
        far = await http.call("GET", "http://models.example/v1", headers={}, timeout=LIMITS)
        assert await far.whole(100, 5) == b"by proxy"
        url = f"http://127.0.0.1:{near.addresses[0][1]}/"
        answer = await http.call("GET", url, headers={}, timeout=LIMITS)
        assert await answer.whole(100, 5) == b"direct"
        assert http.session_for(url) is http.direct
        assert http.session_for("https://api.example/") is http.session
        assert len(asked) == 1
    finally:
        await http.close()
        await relay.cleanup()
        await near.cleanup()


def test_this_machine_is_known_by_its_names():
    for url in ("http://localhost:1/v1", "http://127.0.0.1", "http://127.9.9.9/", "http://[::1]:8080/v1"):
        assert loopback(url), url
    for url in ("https://api.example", "http://10.0.0.1/", "http://localhost.example/", "not a url", "http://[bad"):
        assert not loopback(url), url


SECRETS = {
    "bot token in an address": ("https://api.example/bot", "123456789:AAF-abcdefghijklmnopqrstuvwxyz12345", "/getMe"),
    "bot token alone": ("token ", "123456789:AAF-abcdefghijklmnopqrstuvwxyz12345", " here"),
    "workspace token": ("x ", "xoxb-1234567890-abcdefgh", " y"),
    "app token": ("x ", "xapp-1-A123-456-abcdef", " y"),
    "gateway token": ("x ", "MTAxMjM0NTY3ODkwMTIzNDU2Nzg.GabcDE.abcdefghijklmnopqrstuvwxyz_0", " y"),
    "graph token": ("x ", "EAAabcdefghij0123456789", " y"),
    "model key": ("key ", "sk-proj-abcdefghijklmnop123456", "."),
    "groq key": ("key ", "gsk_abcdefghijklmnop123456", "."),
    "google key": ("key ", "AIzaSyabcdefghijklmnopqrstuvwxyz12345", "."),
    "bearer": ("Authorization: Bearer ", "abc.def/ghi=jkl", ", next"),
    "url": ("redis://", "user:pass", "@host:6379/0"),
    "query": ("https://x.example/?key=", "abcdefgh", "&b=1"),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_hidden_and_its_surroundings_stay(case):
    before, secret, after = SECRETS[case]
    assert redact(before + secret + after) == before + HIDDEN + after


def test_plain_text_stays_as_it_is():
    for text in (
        "GET /v1/models 200 in 12 ms",
        "at 12:30:45 on 2026-11-24",
        "task-force skill botany 12:34",
        "a@b.example",
    ):
        assert redact(text) == text


def test_no_secret_reaches_a_log_in_message_arguments_or_traceback():
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Kept()
    quiet([handler], ["hunter2hunter2", "hunter2"])
    log = logging.getLogger("tests.redaction")
    log.propagate = False
    log.addHandler(handler)
    try:
        log.error("password %s, %s", "hunter2hunter2", {"token": "xoxb-1234567890-abcdefgh"})
        try:
            raise ValueError("sk-proj-abcdefghijklmnop123456")
        except ValueError:
            log.exception("it failed")
    finally:
        log.removeHandler(handler)
    said = "\n".join(lines)
    assert "hunter2" not in said
    assert "xoxb-1" not in said
    assert "sk-proj" not in said
    assert "ValueError" in said
    assert logging.getLogger("httpx").level == logging.WARNING
    assert Redaction().filter(logging.LogRecord("n", 20, "p", 1, "%d of %d", (1, 2), None))
