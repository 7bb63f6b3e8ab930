"""Which process holds an account of ours: it alone delivers there, and receives where a platform lets only one.

Of several processes that serve the same bot one holds a lease on it, renewed while it lives; the others stand by, and the
first to come takes over when the lease ends or is given back.
"""

import time
from collections.abc import Callable

from core.errors import StoreError
from core.keys import lease_key
from core.store import Store


class Holding:
    """The leases of one process. `space` is an account of ours, as keys name it."""

    def __init__(
        self, store: Store, worker: str, lease: int, *, alone: bool = True, gone: Callable[[str], bool] | None = None
    ) -> None:
        """`worker` names this process, `lease` is in milliseconds. `alone`: no other process works on this store. `gone` says
        of the name of a process whether it is known to have ended.
        """
        self._store = store
        self._worker = worker
        self._lease = lease
        self.alone = alone
        self._gone = gone or (lambda _: False)
        self._until: dict[str, float] = {}
        self._since: dict[str, int] = {}
        self.others: dict[str, str] = {}
        """Accounts that another process holds, and its name."""

    def holds(self, space: str) -> bool:
        """Whether an account is ours now, and no other process may have taken it."""
        return self.alone or time.monotonic() < self._until.get(space, 0.0)

    def since(self, space: str) -> int:
        """Since when an account is ours without a break, by the store's clock in milliseconds."""
        return self._since.get(space, 0)

    async def take(self, space: str) -> bool:
        """Take an account where it is free, or renew its lease. Raises StoreError."""
        if self.alone:
            return True
        asked = time.monotonic()
        other, now = await self._ask(space, self._lease, "")
        if other and self._gone(other):
            other, now = await self._ask(space, self._lease, other)
        if other:
            self._until.pop(space, None)
            self.others[space] = other
            return False
        if not self.holds(space):  # also when our lease ended unnoticed: another may have had it meanwhile
            self._since[space] = now
        self._until[space] = asked + self._lease / 1000
        self.others.pop(space, None)
        return True

    async def give_back(self) -> None:
        """Let another process go on at once."""
        for space in list(self._until):
            del self._until[space]
            try:
                await self._ask(space, 0, "")
            except StoreError:  # then they end by themselves
                return

    async def _ask(self, space: str, ttl: int, over: str) -> tuple[str, int]:
        holder, now = await self._store.run("lease", (lease_key(space),), self._worker, ttl, over)
        return holder.decode(), now
