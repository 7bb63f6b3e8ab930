"""The name of this process among those of a store, and what a name tells: which have surely ended."""

import os
import re
import secrets
import socket
from pathlib import Path

_NAME = re.compile(r"process (?P<pid>\d+) on (?P<host>.*) \((?P<space>\d+)-[0-9a-f]{8}\)")


def name() -> str:
    """A name that nobody else has, not even a later process of the same number."""
    return f"process {os.getpid()} on {socket.gethostname()} ({_space()}-{secrets.token_hex(4)})"


def gone(other: str) -> bool:
    """Whether the process of this name is known to have ended: it ran here, and runs no more."""
    found = _NAME.fullmatch(other)
    if found is None or found["host"] != socket.gethostname() or int(found["space"]) != _space():
        return False
    pid = int(found["pid"])
    if pid == os.getpid():
        return True  # an earlier one: our own name is another
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _space() -> int:
    """Within which processes have numbers of their own: that of a container, for one."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no Linux
        return 0
