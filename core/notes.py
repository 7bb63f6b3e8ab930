"""What a platform's adapter must still know after a restart: small values, sealed by the installation, that end by
themselves. Which threads are ours, who let a community in, where to look for what was missed.
"""

from core.errors import SealError
from core.keys import DAY, note_key
from core.people import People
from core.store import Store

SPACE = "space"
"""The note of who we are on the platform, as of the last time that it told us."""
KEEP = 90
"""Days that a note lasts after it was last written."""


class Notes:
    """The notes of one platform's adapter. Names are hashed, values sealed; neither is for what people say."""

    def __init__(self, store: Store, people: People, platform: str) -> None:
        self._store = store
        self._people = people
        self._platform = platform

    async def read(self, *name: str) -> bytes:
        """What was written under this name, b"" where there is nothing. Raises StoreError."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.get(note_key(self._people.note(self._platform, *name)))
        sealed = (await self._store.execute(pipeline))[0]
        if not sealed:
            return b""
        box = await self._people.box(self._people.installation)
        try:
            return box.open(sealed, "note")
        except SealError:
            return b""  # of another key: what it said is learnt anew

    async def write(self, value: bytes, *name: str, days: int = KEEP) -> None:
        """Keep a value under this name; b"" takes it away. Raises StoreError."""
        key = note_key(self._people.note(self._platform, *name))
        pipeline = self._store.redis.pipeline(transaction=False)
        if value:
            box = await self._people.box(self._people.installation)
            pipeline.set(key, box.seal(value, "note"), px=days * DAY)
        else:
            pipeline.delete(key)
        await self._store.execute(pipeline)
