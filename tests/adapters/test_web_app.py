"""The web application: strange hosts and origins are refused, every answer is dressed, errors are sentences."""

import asyncio
import contextlib
import socket
import sys

import aiohttp
import msgspec
import pytest
from aiohttp import web

from adapters.web import probes
from adapters.web.app import HEADERS, app, check_exposure, serve
from core.errors import LaneFull, PieriaError, SettingsError, StoreError


def groups():
    async def hello(_request):
        return web.Response(text="hello")

    async def fail(request):
        raise {
            "store": StoreError("The store is away."),
            "lane": LaneFull("Too many wait."),
            "own": PieriaError("Own trouble."),
            "bug": ZeroDivisionError("secret detail"),
            "gone": web.HTTPNotFound(text="No such site."),
            "see": web.HTTPSeeOther("/hello"),
        }[request.query["kind"]]

    async def take(request):
        return web.Response(text=str(len(await request.read())))

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        return response

    return [[web.get("/hello", hello), web.get("/fail", fail)], [web.post("/take", take), web.get("/stream", stream)]]


@contextlib.asynccontextmanager
async def serving(hosts=("chat.example", "other.example:8443"), extra=()):
    async with (
        serve(app([*groups(), *extra], hosts=hosts), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        yield url, session


@pytest.fixture
async def server():
    async with serving() as pair:
        yield pair


GOOD_HOSTS = [
    "localhost",
    "localhost:9999",
    "127.0.0.1",
    "127.0.0.1:1",
    "[::1]:80",
    "chat.example",
    "CHAT.example:443",
    "other.example:8443",
]
BAD_HOSTS = [
    *(
        "evil.example",
        "localhost.evil.example",
        "evil.example:8787",
        "chat.example.evil.example",
        "xchat.example",
        "other.example",
    ),
    *(
        "",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::ffff:7f00:1]",
        "10.0.0.1",
        "localhost@evil.example",
    ),
    *(
        "evil.example#localhost",
        "evil.example/localhost",
        "[::1",
        "localhost, evil.example",
        "localhost.",
        "a@localhost.evil",
    ),
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
async def test_own_names_are_answered(server, host):
    url, session = server
    async with session.get(url + "/hello", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("host", BAD_HOSTS)
@pytest.mark.parametrize("path", ["/hello", "/nowhere"])
async def test_a_name_that_is_not_ours_is_refused_before_anything_else(server, host, path):
    url, session = server
    async with session.get(url + path, headers={"Host": host}) as answer:
        assert answer.status in {400, 421}
        assert "hello" not in await answer.text()


async def test_a_request_without_or_with_two_hosts_is_refused(server):
    port = int(server[0].rpartition(":")[2])
    for head in (
        b"GET /hello HTTP/1.1\r\n",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET /hello HTTP/1.0\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert answer.split(b" ", 2)[1] in {b"400", b"421"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"Origin": "own"}, 200),
        ("GET", {"Origin": "https://evil.example"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("POST", {"Origin": "own"}, 200),
        ("POST", {"Origin": "own", "Cookie": "a=b"}, 200),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Cookie": "a=b"}, 200),
        ("POST", {}, 200),  # a program with a key, a platform's webhook: nothing that a browser would add by itself
        ("POST", {"Cookie": "a=b"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "http://localhost:1"}, 403),
        ("POST", {"Origin": "http://127.0.0.1"}, 403),
        ("POST", {"Origin": "file://"}, 403),
        ("POST", {"Origin": "chrome-extension://abc"}, 403),
        ("POST", {"Origin": ""}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ("POST", {"Origin": "https://other.example:8443"}, 200),  # a proxy in front that writes its own Host
    ],
)
async def test_other_sites_cannot_make_a_browser_act_here(server, method, headers, status):
    url, session = server
    headers = {name: url if value == "own" else value for name, value in headers.items()}
    async with session.request(method, url + ("/hello" if method == "GET" else "/take"), headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("path", ["/hello", "/stream", "/nowhere", "/fail?kind=bug", "/fail?kind=see"])
async def test_every_answer_carries_the_rules(server, path):
    url, session = server
    async with session.get(url + path, allow_redirects=False) as answer:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["Server"] == "pieria"
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "*" not in policy


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nowhere", 404, "nothing at this address"),
        ("/take", 405, "does not take"),
        ("/fail?kind=store", 503, "The store is away."),
        ("/fail?kind=lane", 429, "Too many wait."),
        ("/fail?kind=own", 500, "Own trouble."),
        ("/fail?kind=gone", 404, "No such site."),
        ("/fail?kind=bug", 500, "Something went wrong here"),
    ],
)
async def test_errors_are_sentences(server, path, status, sentence):
    url, session = server
    async with session.get(url + path) as answer:
        assert answer.status == status
        text = await answer.text()
    assert sentence in msgspec.json.decode(text)["error"]
    assert "secret" not in text


async def test_a_body_beyond_the_cap_is_refused(server):
    url, session = server

    async def much():
        for _ in range(40):
            yield b"x" * 65_536

    async with session.post(url + "/take", data=much()) as answer:
        assert answer.status == 413
        assert "2 MB" in (await answer.json())["error"]


async def test_probes_tell_life_from_readiness():
    missing = "The store does not answer."

    async def ready():
        return missing

    async with serving(extra=[probes.routes(ready)]) as (url, session):
        async with session.get(url + "/healthz") as answer:
            assert answer.status == 200
        async with session.get(url + "/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["missing"] == missing
        missing = ""
        async with session.get(url + "/readyz") as answer:
            assert answer.status == 200


async def test_a_store_that_hangs_is_not_ready(monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.05)
    async with (
        serving(extra=[probes.routes(asyncio.Event().wait)]) as (url, session),
        session.get(url + "/readyz") as answer,
    ):
        assert answer.status == 503


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "chat.example", "", "127.0.0.1.nip.io"])
async def test_a_public_address_needs_a_password(host):
    with pytest.raises(SettingsError, match="PIERIA_PASSWORD"):
        async with serve(app(groups()), host, 0):
            pass
    check_exposure(host, "", "a password")


def test_a_public_url_needs_a_password_too():
    with pytest.raises(SettingsError, match=r"PIERIA_PUBLIC_URL=https://chat\.example"):
        check_exposure("127.0.0.1", "https://chat.example", "")
    check_exposure("127.0.0.1", "https://chat.example", "a password")
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        check_exposure(host, "", "")
    check_exposure("127.0.0.1", "http://localhost:8787", "")


async def test_on_every_address_the_one_that_was_called_is_ours():
    async with (
        serve(app(groups()), "0.0.0.0", 0, password="a password") as url,
        aiohttp.ClientSession() as session,
    ):
        port = url.rpartition(":")[2]
        for host, status in ((f"127.0.0.1:{port}", 200), ("192.0.2.1", 421)):
            async with session.get(f"http://127.0.0.1:{port}/hello", headers={"Host": host}) as answer:
                assert answer.status == status


async def test_a_taken_port_is_one_clear_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError) as raised:
            async with serve(app(groups()), "127.0.0.1", port):
                pass
    where = f"PIERIA_HOST=127.0.0.1, PIERIA_PORT={port}"
    wanted = f"The page cannot listen at {where}: another program does. Choose a free port, such as {port + 1}."
    assert raised.value.sentence == wanted


@pytest.mark.parametrize(
    ("host", "reason"), [("192.0.2.7", "Cannot assign requested address"), ("999.1.1.1", "not known")]
)
async def test_an_address_that_is_not_this_machines_is_one_clear_sentence(host, reason):
    with pytest.raises(SettingsError, match=f"PIERIA_HOST={host}.*an address of this machine") as raised:
        async with serve(app(groups()), host, 0, password="p"):
            pass
    if sys.platform == "linux":  # every system has words of its own
        assert reason in raised.value.sentence
    assert "(" not in raised.value.sentence


async def test_a_unix_socket_serves_without_a_port(tmp_path):
    path = str(tmp_path / "page.sock")
    async with (
        serve(app(groups()), "", 0, path) as url,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
    ):
        assert url == f"unix:{path}"
        async with session.get("http://localhost/hello") as answer:
            assert answer.status == 200
        async with session.get("http://evil.example/hello") as answer:
            assert answer.status == 421
