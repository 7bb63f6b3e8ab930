"""What must be known of channels after a restart: which threads are ours, which direct messages, who invited us."""

from collections import OrderedDict

from adapters.recent import keep
from core.notes import Notes

_CAP = 10_000


class Places:
    """Notes with a bounded memory in front of them."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._near: OrderedDict[tuple[str, ...], str] = OrderedDict()

    async def ours(self, channel: str, thread: str) -> bool:
        """Whether we were mentioned or spoke in a thread. Raises StoreError."""
        return bool(await self._read("thread", channel, thread))

    async def take(self, channel: str, thread: str) -> None:
        """From now on a thread is ours. Raises StoreError."""
        await self._write("1", "thread", channel, thread)

    async def is_im(self, channel: str) -> bool:
        """Whether a direct message is the one with us; of others we hear through slash commands alone. Raises StoreError."""
        return bool(await self._read("im", channel))

    async def met(self, channel: str) -> None:
        """A direct message is the one with us. Raises StoreError."""
        await self._write("1", "im", channel)

    async def inviter(self, channel: str) -> str:
        """Who invited us into a channel, "" where nobody knows. Raises StoreError."""
        return await self._read("inviter", channel)

    async def invited(self, channel: str, who: str) -> None:
        """Somebody invited us. Raises StoreError."""
        await self._write(who, "inviter", channel)

    async def _read(self, *name: str) -> str:
        known = self._near.get(name)
        if known is not None:
            self._near.move_to_end(name)
            return known
        value = (await self._notes.read(*name)).decode()
        if value:
            keep(self._near, name, value, _CAP)
        return value

    async def _write(self, value: str, *name: str) -> None:
        if self._near.get(name) != value:
            await self._notes.write(value.encode(), *name)
            keep(self._near, name, value, _CAP)
