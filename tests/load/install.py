"""The base install, made anew as the lock says: how many packages it is and what they weigh."""

import os
import subprocess
import tempfile
from pathlib import Path

from tests.load.table import Figure, most
from tests.stories.program import ROOT

UV = ROOT / ".tools" / "uv"


def installed() -> list[Figure]:
    """Without extras and without what only developers need."""
    with tempfile.TemporaryDirectory(prefix="pieria-install-") as folder:
        venv = Path(folder) / "venv"
        command = [str(UV), "sync", "--frozen", "--no-dev", "--quiet"]
        environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(venv), "UV_LINK_MODE": "copy"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        packages = len(list(venv.glob("lib/python*/site-packages/*.dist-info")))
        size = sum(path.lstat().st_size for path in venv.rglob("*") if not path.is_symlink()) / 2**20
    return [
        Figure("base install", "MB", None, size, most(120)),
        Figure("packages of the base install, with our own", "", None, float(packages), most(55)),
    ]
