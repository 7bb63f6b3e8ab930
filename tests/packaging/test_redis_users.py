"""deploy/redis/users.acl: each role may do what it does, on Pieria's keys, and nothing else."""

import asyncio
import hashlib
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from adapters.queue.docket import Dockets, open_store
from adapters.valkey import _binary
from core.budget import Limit
from core.channels import Channels
from core.dead import DeadLetters
from core.holding import Holding
from core.keys import NEWS, lane_keys
from core.mailbox import Mailbox, Rules
from core.messages import Account
from core.notes import Notes
from core.people import People
from core.ports import Rate
from core.records import Records
from core.seal import Keyring, Seal
from core.store import Store
from tests.conftest import FINGERPRINT, leaks, wait_until
from tests.contracts.wakeups import LANE, LANES, Player, serving
from tests.core.lane import OWNER, SPACE, begun, entry
from tests.servers.models import ModelServer
from tests.servers.telegram import TOKEN, TelegramServer
from tests.servers.valkeys import Cluster, Server, until
from tests.stage import KEY, stage
from tests.stories.program import environment, running

ROOT = Path(__file__).parents[2]
USERS = ROOT / "deploy/redis/users.acl"
ROLES = ("operator", "adapters", "worker")

ROOT_USER = "user root on nopass ~* &* +@all"
"""Prepares the tests, and sees what was refused."""

FORBIDDEN = (
    *("FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE"),
    *("ACL LIST", "ACL SETUSER worker +@all", "MONITOR", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE", "REPLICAOF NO ONE"),
    *("CLIENT LIST", "CLIENT KILL TYPE normal", "MODULE LIST", "FUNCTION LIST", "SCRIPT FLUSH", "SWAPDB 0 1"),
    *("SORT pieria:admins", "DUMP pieria:meta", "RENAME pieria:meta pieria:other", "OBJECT FREQ pieria:meta"),
    *("SLOWLOG GET", "LATENCY DOCTOR", "MEMORY USAGE pieria:meta"),
    *("GET other", "SET other 1", "DEL other", "HGETALL pieriax:meta", "GET pieria", "GET {pieria0}"),
    *("EVAL return(redis.call('GET','other')) 0", "EVAL return(redis.call('KEYS','*')) 0", "EVAL return(1) 1 other"),
    *("SUBSCRIBE other", "PSUBSCRIBE *", "PUBLISH other x", "SSUBSCRIBE other", "SPUBLISH other x"),
    *("XADD pieria0:strikes * a b", "XREADGROUP GROUP docket-workers x STREAMS pieria:x >"),
)

SENT_AS = {"delete": "del", "incr": "incrby", "script_load": "script|load"}
"""Commands of other names than redis-py's methods."""

Url = Callable[[str], str]


def filled(folder: Path) -> Path:
    """The file as an operator completes it, and a user who prepares the tests."""
    text = USERS.read_text()
    for role in ROLES:
        secret = hashlib.sha256(f"secret-of-{role}".encode()).hexdigest()
        text = text.replace(f"PUT-HERE-THE-SHA256-OF-THE-PASSWORD-OF-{role.upper()}", secret)
    path = folder / "users.acl"
    path.write_text(f"{text}{ROOT_USER}\n")
    return path


def made(folder: Path) -> dict[str, str]:
    """The passwords that the guide's commands make, and put into a copy of the file."""
    (folder / "users.acl").write_text(USERS.read_text())
    guide = (ROOT / "docs/guide/many-machines.md").read_text()
    commands = re.search(r"^```\n(for role in .*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert commands is not None
    told = subprocess.run(["sh", "-ec", commands[1]], cwd=folder, capture_output=True, text=True, check=True)
    return dict(line.lower().split() for line in told.stdout.splitlines())


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[Url]:
    """The URL of a store with these users, as each of them."""
    server = Server(tmp_path / "valkey", {"include": filled(tmp_path)})
    server.start()
    try:
        await until(lambda: asked(f"redis://root:any@127.0.0.1:{server.port}", "PING"))
        yield lambda role: f"redis://{role}:secret-of-{role}@127.0.0.1:{server.port}"
    finally:
        server.kill()


async def asked(url: str, *command: str | bytes | int) -> object:
    async with Redis.from_url(url) as redis:
        return await redis.execute_command(*command)


@pytest.fixture
async def store(url: Url, role: str) -> AsyncIterator[Store]:
    opened = Store(url(role))
    try:
        await opened.open(FINGERPRINT)
        yield opened
        async with Redis.from_url(url("root")) as redis:
            assert not await leaks(redis)
    finally:
        await opened.close()


def test_a_server_refuses_the_file_until_the_passwords_are_put_in(tmp_path: Path) -> None:
    settings = ["--port", "0", "--unixsocket", str(tmp_path / "s"), "--dir", str(tmp_path), "--include", str(USERS)]
    told = subprocess.run([_binary(), *settings], capture_output=True, text=True, timeout=20, check=False)
    assert told.returncode != 0
    assert "The password hash must be exactly 64 characters" in told.stdout + told.stderr


@pytest.mark.parametrize("role", ROLES)
class TestEachRole:
    async def test_answers_people_with_all_limits_on(self, store: Store) -> None:
        limits = (Limit("person", 10**6, "tokens", "day"), Limit("all", 10**7, "tokens", "month"))
        async with stage(store, rate=Rate(1.0, 20), budget=limits, paced=True) as s:
            await s.say("hello")
            await s.replies(1)
            await s.say("again")
            assert await s.replies(2) == ["You said: hello", "You said: again"]
            for command in ("/usage", "/status", "/new", "/whoami"):
                await s.say(command)
            await s.replies(6)
            records = Records(store, s.people, s.engine._mailbox)
            assert await records.transcript(s.board.finals[0][0]) == []

    async def test_moves_mailboxes(self, store: Store) -> None:
        mailbox, people = Mailbox(store, "one", Rules()), house(store)
        turn = await begun(mailbox, entry(1), entry(2))
        assert await mailbox.step(turn, "s", b"v") == 1
        assert await mailbox.renew([turn]) == [1]
        await mailbox.edit(turn.lane, entry(2).event, entry(3))
        await mailbox.bury(turn, "failed three times")
        committed = await mailbox.commit(turn, space=SPACE, reply=b"r", block=b"b", begin=True)
        assert committed.begun is not None
        await mailbox.summarize(committed.begun, 1, b"s")
        await mailbox.stop(turn.lane, drop=True)
        await mailbox.commit(committed.begun, space=SPACE)
        [out] = await mailbox.outbox(SPACE)
        await mailbox.parts(out.lane, out.turn)
        await mailbox.sent(out.lane, out.turn, SPACE, {"0": "m1"}, out.id)
        await mailbox.schedule(turn.lane, "w", 1, entry(4), OWNER)
        await mailbox.schedule(turn.lane, "v", 1, entry(5), OWNER)
        await mailbox.cancel(turn.lane, "v")
        [(lane, epoch)] = await mailbox.sweep()
        due = await mailbox.begin(lane_keys(lane), epoch)
        assert due is not None
        await mailbox.commit(due, space=SPACE)
        dead = DeadLetters(store, people, mailbox)
        [letter] = await dead.letters()
        await dead.drop(letter)

    async def test_lets_people_in_keeps_notes_and_holds_accounts(self, store: Store) -> None:
        people = house(store)
        stranger = Account("stage", "bot", "eve")
        code = await people.ask(stranger, "Eve")
        assert code is not None
        assert await people.approve(code)
        assert await people.claimed(stranger, await people.claim())
        assert await people.rulers() == [stranger]
        await people.uncrown(stranger)
        notes = Notes(store, people, "stage")
        await notes.write(b"value", "name")
        assert await notes.read("name") == b"value"
        holding = Holding(store, "one", 5000, alone=False)
        assert await holding.take("stage:bot")
        await holding.give_back()

    async def test_tells_and_hears(self, store: Store) -> None:
        heard: list[bytes] = []
        opened: list[bool] = []

        async def hear(value: bytes) -> None:
            heard.append(value)

        channels = Channels(store)
        names = (lane_keys(LANE).halts, lane_keys(LANE).partials(SPACE), lane_keys(LANE).outbox(SPACE), NEWS)
        await channels.hear(names, hear, lambda: opened.append(True))
        listening = asyncio.create_task(channels.run())
        await wait_until(lambda: len(opened) == len(names))
        for name in names:
            await channels.tell(name, name.encode())
        await wait_until(lambda: heard == [name.encode() for name in names])
        listening.cancel()
        await asyncio.wait([listening])

    async def test_may_nothing_else(self, url: Url, role: str) -> None:
        allowed = []
        for command in FORBIDDEN:
            try:
                await asked(url(role), *command.split(" "))
            except RedisError as error:
                if re.search(r"(?i)no permission|noperm|acl failure", str(error)):
                    continue
            allowed.append(command)
        assert allowed == []

    async def test_has_every_command_that_stands_in_a_script_or_a_pipeline(self, url: Url, role: str) -> None:
        text = "".join(path.read_text() for path in (ROOT / "core/scripts").glob("*.lua"))
        wanted = {name.lower() for name in re.findall(r"redis\.call\(\s*'(\w+)'", text)}
        text = "".join(path.read_text() for path in (ROOT / "core").glob("*.py"))
        methods = set(re.findall(r"\bpipeline\.([a-z_]+)\(", text)) - {"execute", "execute_command"}
        wanted |= {SENT_AS.get(name, name) for name in methods}
        async with Redis.from_url(url("root")) as redis:
            told = await redis.acl_getuser(role)
        assert {f"+{name}" for name in wanted} <= set(told["commands"])


def house(store: Store) -> People:
    seal = Seal(KEY)
    return People(store, seal, Keyring(seal, store.fetch_or_set), "pairing")


class TestDockets:
    async def test_adapters_wake_a_worker(self, url: Url) -> None:
        player, adapters, worker = Player(), Dockets(url("adapters"), "a"), Dockets(url("worker"), "w")
        async with serving(adapters, None), serving(worker, player.drain):
            for lane in LANES[:200]:
                adapters.wake(lane, 1)
            await wait_until(lambda: len(player.played) == 200)
            for lane in LANES[:200]:
                worker.wake(lane, 2)
            await wait_until(lambda: len(player.played) == 400)
        assert await asked(url("root"), "ACL", "LOG") == []
        async with Redis.from_url(url("root")) as redis:
            left = {key.decode().partition(":")[2] for key in await redis.keys() if b"worker-tasks" not in key}
        assert left <= {"stream", "leases:redelivery-sweep"}

    async def test_adapters_wake_a_worker_in_a_cluster(self, tmp_path: Path) -> None:
        cluster = Cluster(tmp_path)
        await cluster.start()
        try:
            for line in filled(tmp_path).read_text().splitlines():
                if line.startswith(("user adapters", "user worker")):
                    for server in cluster.servers:
                        await server.ask("ACL", "SETUSER", *line.split()[1:])
            place = cluster.url.partition("://")[2]
            adapters, worker = (
                Dockets(f"redis+cluster://{role}:secret-of-{role}@{place}", role) for role in ("adapters", "worker")
            )
            player = Player()
            async with serving(adapters, None), serving(worker, player.drain):
                for lane in LANES[:100]:
                    adapters.wake(lane, 1)
                await wait_until(lambda: len(player.played) == 100)
            assert [await server.ask("ACL", "LOG") for server in cluster.servers] == [[], [], []]
        finally:
            cluster.close()

    async def test_what_lies_on_them_is_read_by_workers_alone(self, url: Url) -> None:
        async with serving(wakeups := Dockets(url("adapters"), "a"), None):
            wakeups.wake(LANE, 1)
            stream = f"{lane_keys(LANE).tag.strip('{}')}:stream"
            await wait_until(lambda: asked(url("root"), "XLEN", stream))
        reads = (("XRANGE", stream, "-", "+"), ("XREAD", "STREAMS", stream, "0"), ("XLEN", stream))
        takes = ("XREADGROUP", "GROUP", "docket-workers", "x", "STREAMS", stream, ">")
        for role in ("operator", "adapters"):
            for command in (*reads, takes):
                with pytest.raises(NoPermissionError):
                    await asked(url(role), *command)
        with pytest.raises(NoPermissionError):
            await asked(url("operator"), "XADD", stream, "*", "a", "b")
        async with serving(Dockets(url("worker"), "w"), (player := Player()).drain):
            await wait_until(lambda: player.played == [(LANE, 1)])

    async def test_the_program_answers_under_the_passwords_that_the_guide_makes(self, tmp_path: Path) -> None:
        passwords = made(tmp_path)
        assert tuple(passwords) == ROLES
        with (tmp_path / "users.acl").open("a") as file:
            file.write(f"{ROOT_USER}\n")
        server = Server(tmp_path / "valkey", {"include": tmp_path / "users.acl"})
        server.start()
        urls = {role: f"redis://{role}:{passwords[role]}@127.0.0.1:{server.port}" for role in ROLES}

        def machine(role: str, **settings: str) -> dict[str, str]:
            return environment(
                tmp_path / role, REDIS_URL=urls[role], PIERIA_KEY="11" * 32, PIERIA_ACCESS="open", **settings
            )

        try:
            await until(lambda: asked(urls["worker"], "PING"))
            async with TelegramServer() as telegram, ModelServer() as models:
                platform = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
                adapters = machine("adapters", **platform)
                worker = machine("worker", OPENAI_BASE_URL=models.url)
                ada = telegram.person(id=1, name="Ada")
                async with running(adapters, "--role", "adapters"), running(worker, "--role", "worker"):
                    for n in (1, 2):
                        models.reply(f"Answer {n}.")
                        await telegram.private(ada).say(ada, f"question {n}")
                        assert (await telegram.private(ada).replies(n))[-1].text == f"Answer {n}."
                alone = machine("operator", OPENAI_BASE_URL=models.url, **platform)
                async with running(alone):
                    models.reply("Answer 3.")
                    await telegram.private(ada).say(ada, "question 3")
                    assert (await telegram.private(ada).replies(3))[-1].text == "Answer 3."
            assert await asked(f"redis://root:any@127.0.0.1:{server.port}", "ACL", "LOG") == []
        finally:
            server.kill()

    async def test_nobody_comes_in_without_a_password(self, url: Url) -> None:
        place = url("worker").rpartition("@")[2]
        for login in ("", "worker:wrong@", "default:@", "operator:secret-of-worker@"):
            with pytest.raises((AuthenticationError, RedisError), match=r"(?i)auth|password"):
                await asked(f"redis://{login}{place}", "PING")
        assert open_store(url("worker")) == ""
