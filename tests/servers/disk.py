"""A small disk of our own that a test fills up and frees: real, so that the store finds it as full as people's disks get."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A file system of a few megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, but: int = 0) -> None:
        """From now on no file can grow, except for the end of its last page; or there is room for `but` bytes more."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while (room := shutil.disk_usage(self.folder).free - but) > 0:
                file.write(b"x" * room)

    def free(self) -> None:
        """There is room again."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int = 4) -> Iterator[Disk]:
    """A disk mounted on a folder; the test is skipped where that is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        told = subprocess.run(mount, capture_output=True, text=True, timeout=10.0, check=False)
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    if told.returncode:
        pytest.skip(f"no small disk can be mounted here: {told.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, timeout=10.0, check=True)
