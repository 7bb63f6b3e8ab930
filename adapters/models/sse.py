"""Server-sent events from the bytes of network reads: whole events at once, never line by line."""

from core.errors import ModelFailed

MOST_PENDING = 8 * 1024 * 1024
"""Bytes of one event."""


class Events:
    """Cuts a stream of bytes into the data of its events."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of all events that are whole now; comments and other fields are left out."""
        text = self._pending + chunk
        if b"\r" in text:
            # A CR at the end may be half of a line break: it waits for the next read.
            held = b"\r" if text.endswith(b"\r") else b""
            text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        whole, cut, rest = text.rpartition(b"\n\n")
        self._pending = rest if cut else text
        if len(self._pending) > MOST_PENDING:
            raise ModelFailed("The model's server sent an event without end.")
        return [data for block in whole.split(b"\n\n") if (data := _data(block))] if cut else []

    def rest(self) -> list[bytes]:
        """What is left when the stream ended without its last blank line."""
        block, self._pending = self._pending.strip(b"\r\n"), b""
        return [data] if (data := _data(block)) else []


def _data(block: bytes) -> bytes:
    if block.startswith(b"data: ") and b"\n" not in block:  # nearly all events
        return block[6:]
    if block.startswith(b"event: "):  # named events: the name stands in the data too
        data = block.partition(b"\n")[2]
        if data.startswith(b"data: ") and b"\n" not in data:
            return data[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines)
