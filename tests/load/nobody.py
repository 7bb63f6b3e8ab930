"""No bot at all: the calls that a message costs at least, with next to no work, so that one sees what the servers carry."""

import asyncio
import os
import re
from urllib.parse import urlsplit

import uvloop

TOKEN = os.environ["TELEGRAM_BOT_TOKEN"]
TELEGRAM = urlsplit(os.environ["TELEGRAM_API_URL"])
MODEL = urlsplit(os.environ["OPENAI_BASE_URL"])
_MESSAGE = re.compile(rb'"update_id":(\d+),.*?"chat":\{"id":(\d+),.*?"text":"(m\d+)')
NAME = os.environ["PIERIA_MODEL"].partition(":")[2].encode()
_ASK = b'{"model":"%b","stream":true,"messages":[{"role":"user","content":"%b"}]}'


class Connections:
    """Open connections to one server, used again and again."""

    def __init__(self, port: int, authorization: str = "") -> None:
        self._port = port
        self._more = f"authorization: {authorization}\r\n".encode() if authorization else b""
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> bytes:
        """A request, and all of its answer."""
        free = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = free
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        writer.write(head % (path.encode(), self._more, len(body)) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if size := re.search(rb"content-length: (\d+)", answer):
            answer += await reader.readexactly(int(size[1]))
        else:
            answer += await reader.readuntil(b"0\r\n\r\n")
        self._free.append(free)
        return answer


async def main() -> None:
    telegram, model = Connections(TELEGRAM.port), Connections(MODEL.port, f"Bearer {os.environ['OPENAI_API_KEY']}")

    async def answer(chat: bytes, number: bytes) -> None:
        await model.post("/v1/chat/completions", _ASK % (NAME, number))
        text = b'{"chat_id":%b,"text":"%b done."}' % (chat, number)
        await telegram.post(f"/bot{TOKEN}/sendMessage", text)

    offset = 0
    async with asyncio.TaskGroup() as tasks:
        while True:
            updates = await telegram.post(f"/bot{TOKEN}/getUpdates", b'{"offset":%d,"timeout":20}' % offset)
            for update, chat, number in _MESSAGE.findall(updates):
                offset = int(update) + 1
                tasks.create_task(answer(chat, number))


if __name__ == "__main__":
    uvloop.run(main())
