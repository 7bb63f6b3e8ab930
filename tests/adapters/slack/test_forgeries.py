"""Requests that pretend to be Slack's: forged, replayed, damaged, too large. Each is refused, and none reaches a decoder."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import sys
import time
from urllib.parse import parse_qsl

import msgspec

from adapters.chat.slack.routes import CAP, PATH, sign
from tests.adapters.slack.bench import Engine, called
from tests.servers.slack import SIGNING_SECRET

BODY = msgspec.json.encode(
    {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev9",
        "event": {"type": "message", "channel": "D9", "channel_type": "im", "user": "U1", "text": "hi", "ts": "9.1"},
    }
)
JSON = "application/json"
STAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"

SECRETS = [
    "",
    " ",
    "another",
    SIGNING_SECRET[:-1],
    SIGNING_SECRET + "0",
    SIGNING_SECRET.upper(),
    "0" * 32,
    SIGNING_SECRET + "\n",
]
KINDS = [
    None, "text/plain", "text/json", "text/html", "application/xml", "application/jsonx", "application/json+x", "image/png",
    "multipart/form-data; boundary=x", "application/octet-stream", "json", "application/ld+json", "application/x-ndjson",
]  # fmt: skip
OTHERS = [
    b"", b"{}", b"[]", b"null", b"\xff\xfe", b"\x00" + BODY, BODY[:-1], BODY[:1], BODY[: len(BODY) // 2], BODY[1:], BODY + b" ",
    BODY + b"\n", BODY + BODY, BODY.replace(b"hi", b"ho"), BODY.replace(b"U1", b"U2"), BODY.replace(b"T1", b"T2"), b"[" * 5_000,
    BODY.replace(b":", b": "), b'{"type":"url_verification","challenge":"c"}', b"command=/pieria&text=hi", b"payload=" + BODY,
    gzip.compress(BODY),
]  # fmt: skip
METHODS = ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
PATHS = ["/slack", "/slack/", PATH + "/", PATH + "/x", "//slack/events", "/slack/EVENTS", "/"]
BIG = b'{"event":"' + b"x" * CAP + b'"}'
CHUNKED = ("Transfer-Encoding: chunked",)


def signatures(now):
    genuine = sign(SIGNING_SECRET, str(now), BODY)
    signed, told = b"v0:%d:" % now + BODY, genuine.removeprefix("v0=")

    def digest(kind, text):
        return hmac.new(SIGNING_SECRET.encode(), text, kind)

    return [
        None, "", " ", "v0", "v0=", "v0=0", "v0=" + "0" * 64, "v0=" + "f" * 64, "v1=" + told, "v00=" + told, "V0=" + told, told,
        "v0:" + told, "v0= " + told, "v0=" + told.upper(), '"' + genuine + '"', genuine + ",", genuine + "," + genuine, genuine + "0",
        genuine + "=", genuine[:-1], genuine[:-8], genuine[:35], "sha256=" + told, "v0=" + told[::-1], "v0=é" + told[1:], "null", "*",
        (genuine, genuine), ("v0=0", genuine), (genuine, "v0=0"), SIGNING_SECRET, "v0=" + SIGNING_SECRET, "v0=" + told * 100,
        "v0=" + base64.b64encode(digest("sha256", signed).digest()).decode(), "v0=" + digest("sha1", signed).hexdigest(),
        "v0=" + digest("sha512", signed).hexdigest(), "v0=" + digest("md5", signed).hexdigest(),
        "v0=" + digest("sha256", BODY).hexdigest(), "v0=" + digest("sha256", b"v1" + signed[2:]).hexdigest(),
        "v0=" + digest("sha256", b"%d:" % now + BODY).hexdigest(), "v0=" + hashlib.sha256(signed).hexdigest(),
        "v0=" + hashlib.sha256(SIGNING_SECRET.encode() + signed).hexdigest(),
    ]  # fmt: skip


def stamps(now):
    return [
        None, "", " ", "0", "1", "-1", "soon", "NaN", "inf", "null", "0x65", "1e9", f"-{now}", f"+{now}", f"{now}.0", f"{now}.5",
        f"{now}s", f"{now},{now}", f"{now}000", f"{now}" * 20, f"{now:x}", f"{now:_}", "２０２６", f"{now - 302}", f"{now - 310}",
        f"{now - 3_600}", f"{now - 86_400}", f"{now + 400}", f"{now + 3_600}", f"{now + 86_400 * 365}", "9" * 12, "9" * 5_000,
        (str(now), str(now)), (f"{now - 900}", str(now)), (str(now), f"{now - 900}"),
    ]  # fmt: skip


def http(body=BODY, *, method="POST", path=PATH, kind=JSON, stamp="", signature="", secret=SIGNING_SECRET, **more):
    """A request that is genuine but for what is told; `signed` is what its signature is over, `length` what it says."""
    stamp = str(int(time.time())) if stamp == "" else stamp
    first = stamp[0] if isinstance(stamp, tuple) else stamp or ""
    if signature == "":
        signature = sign(secret, first, more.get("signed", body))
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    for name, told in ((STAMP, stamp), (SIGNATURE, signature)):
        lines += [f"{name}: {one}" for one in (told if isinstance(told, tuple) else (told,)) if one is not None]
    lines += [f"Content-Type: {kind}"] if kind else []
    length = more.get("length", len(body))
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, *more.get("heads", ()), "", ""]).encode("utf-8", "replace") + body


def forged(now):
    """What each is, and how it differs from a genuine one."""
    for signature in signatures(now):
        yield f"signature {signature}", {"signature": " " if signature == "" else signature}
    for secret in SECRETS:
        yield f"secret {secret!r}", {"secret": secret}
    for stamp in stamps(now):
        yield f"stamp {stamp}", {"stamp": " " if stamp == "" else stamp}
    for kind in KINDS:
        yield f"kind {kind}", {"kind": kind}
    for other in OTHERS:
        yield f"another body {other[:30]!r} {len(other)}", {"body": other, "signed": BODY}
    for method in METHODS:
        yield f"method {method}", {"method": method}
    for path in PATHS:
        yield f"path {path}", {"path": path}
    for less in (1, 10, len(BODY)):
        yield f"{less} bytes missing", {"length": len(BODY) + less}
    for packed in ("gzip", "br", "deflate", "identity"):
        yield f"packed by {packed}", {"heads": (f"Content-Encoding: {packed}",)}
    yield "packed", {"body": gzip.compress(BODY), "heads": ("Content-Encoding: gzip",)}
    yield "a bomb", {"body": gzip.compress(b" " * (50 << 20)), "heads": ("Content-Encoding: gzip",)}
    yield (
        "replayed a week later",
        {"stamp": str(now - 7 * 86_400), "signature": sign(SIGNING_SECRET, str(now - 7 * 86_400), BODY)},
    )
    yield "replayed under a new stamp", {"signature": sign(SIGNING_SECRET, str(now - 400), BODY)}
    yield "too long", {"body": BIG}
    yield "too long and forged", {"body": BIG, "signature": "v0=0"}
    yield "said to be too long", {"length": CAP + 1}
    yield "said to be enormous", {"length": 1 << 60}
    yield "a negative length", {"length": -5}
    yield "a length that is no number", {"length": "12x"}
    yield "two lengths", {"heads": (f"Content-Length: {len(BODY) + 1}",)}
    yield "no length", {"length": None}
    yield (
        "chunked and too long",
        {"length": None, "heads": CHUNKED, "body": b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG), "signed": BIG},
    )
    yield "chunked nonsense", {"length": None, "heads": CHUNKED, "body": b"zz\r\n" + BODY, "signed": BODY}
    yield "chunked without an end", {"length": None, "heads": CHUNKED, "body": b"5\r\n{}", "signed": b"{}"}


async def asked(port, request):
    """The status of a request; 0 where the connection just ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        line = await asyncio.wait_for(reader.readline(), 5)
        return int(line.split()[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.contextmanager
def decoders():
    """Every decoder that is called meanwhile, by name."""
    ran = []

    def watch(frame, event, arg):
        if event == "c_call" and isinstance(getattr(arg, "__self__", None), msgspec.json.Decoder):
            ran.append(arg.__name__)
        elif event == "call" and frame.f_code in {json.loads.__code__, parse_qsl.__code__}:
            ran.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        yield ran
    finally:
        sys.setprofile(None)


def test_there_are_enough_forgeries():
    assert len({repr(request) for _, request in forged(1_760_000_000)}) >= 140


async def test_every_forged_request_is_refused_before_anything_is_decoded(server, notes):
    engine = Engine()
    async with called(server, notes, engine) as (_, url):
        port = int(url.split(":")[2].split("/")[0])
        taken, read = [], []
        for name, request in forged(int(time.time())):
            with decoders() as ran:
                status = await asked(port, http(**request))
            if not (status == 0 or 400 <= status < 500):
                taken.append((name, status))
            if ran:
                read.append((name, ran))
        assert (taken, read, engine.tries) == ([], [], [])
        with decoders() as ran:
            assert await asked(port, http()) == 200
        assert "decode" in ran
        assert engine.texts == ["hi"]
