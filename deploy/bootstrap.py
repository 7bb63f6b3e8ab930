# ruff: noqa: INP001, S310, S603 - a program, not a package; addresses and commands are those of the installation
"""Installs the program into the checkout with nothing but Python: uv from PATH or from the package index, then uv.lock.

`python3 deploy/bootstrap.py [--cluster] [--dev]`. `--cluster` brings what work on several machines needs, `--dev` that and the tools
of development. Quick when nothing changed. A Python without pip and venv will do. What it says goes to standard error.
"""

import hashlib
import io
import os
import platform
import shutil
import ssl
import subprocess
import sys
import urllib.request
import zipfile
from base64 import b64encode
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
UV = "0.13.9"
"""The version that is fetched; the newest where an index does not have it. One on PATH is taken as it is."""


class Failure(Exception):
    """Why it cannot go on, in one sentence."""


def main() -> int:
    """Install; returns the exit code."""
    dev = "--dev" in sys.argv[1:]
    kept = (VENV / ".installed-cluster").exists()  # once brought, it is kept up to date
    cluster = kept or dev or "--cluster" in sys.argv[1:]
    state = hashlib.sha256((ROOT / "uv.lock").read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    state += f" {VENV}"  # an environment that was copied here from elsewhere is not ours
    names = ("", *(("-cluster",) if cluster else ()), *(("-dev",) if dev else ()))
    stamps = [VENV / f".installed{name}" for name in names]
    try:
        if not all(stamp.is_file() and stamp.read_text() == state for stamp in stamps):
            _sync(_uv(), cluster=cluster, dev=dev)
        for stamp in stamps:
            stamp.write_text(state)  # newer than its inputs, which is what make looks at
    except Failure as failure:
        _say(str(failure))
        return 1
    return 0


def _sync(uv: str, *, cluster: bool, dev: bool) -> None:
    """Bring .venv to what uv.lock says; what else lies in it stays, so that run and test do not undo each other."""
    extras = ("local", "cluster") if cluster else ("local",)
    what = ["--frozen", *(f"--extra={extra}" for extra in extras), *([] if dev else ["--no-dev"])]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}

    def run(*arguments: str) -> None:
        told = subprocess.run([uv, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False)
        if told.returncode:
            raise Failure("uv could not install the packages (see above); uv.lock says which, and from where.")

    index = _indexes()[0]
    _say("the packages of uv.lock ...")
    if index == _packages().PUBLIC:
        run("sync", *what, "--inexact", "--quiet", "--python", sys.executable)
        return
    # The lock holds public addresses: from another index come the same versions with the same hashes.
    wanted = TOOLS / "requirements.txt"
    TOOLS.mkdir(exist_ok=True)
    run("export", *what, "--quiet", "--no-emit-project", "--output-file", str(wanted))
    if not (VENV / "bin" / "python").exists():
        run("venv", "--quiet", "--python", sys.executable, str(VENV))
    target = ["--quiet", "--python", str(VENV / "bin" / "python"), "--default-index", index]
    run("pip", "install", *target, "--require-hashes", "--requirement", str(wanted))
    run("pip", "install", *target, "--no-deps", "--editable", ".")


def _uv() -> str:
    """A uv that runs: ours, the one of PATH, or one fetched now."""
    own = TOOLS / "uv"
    for found in (str(own), shutil.which("uv")):
        try:
            if (
                found
                and not subprocess.run([found, "--version"], capture_output=True, timeout=60, check=False).returncode
            ):
                return found
        except (OSError, subprocess.TimeoutExpired):
            continue
    reasons = []
    for index in _indexes():
        try:
            wheel = _wheel(index)
            break
        except (OSError, ValueError, Failure) as error:
            reason = error.reason if isinstance(error, URLError) else error
            reasons.append(f"{urlsplit(index).hostname or index}: {reason}")
    else:
        raise Failure(f"uv could not be fetched ({'; '.join(reasons)}): install uv yourself and run this again.")
    TOOLS.mkdir(exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        fresh = TOOLS / f"uv.{os.getpid()}"
        fresh.write_bytes(archive.read(member))
    fresh.chmod(0o755)
    fresh.replace(own)
    return str(own)


def _wheel(index: str) -> bytes:
    """The wheel of uv for this machine, checked."""
    packages = _packages()
    url = f"{index}/uv/"
    page, kind = _get(url, packages.ACCEPT)
    tag = _platform()
    offered = [file for file in packages.files(page, kind, url) if file.name.endswith(".whl") and tag(file.name)]
    numbered = {
        tuple(int(n) for n in v.split(".")): f
        for f in offered
        if (v := f.name.split("-")[1]).replace(".", "").isdigit()
    }
    if not numbered:
        raise Failure("no uv for this machine")
    file = numbered.get(tuple(int(n) for n in UV.split("."))) or numbered[max(numbered)]
    _say(f"{file.name} from {urlsplit(file.url).hostname} ...")
    wheel, _ = _get(file.url, "*/*")
    if not file.sha256 or hashlib.sha256(wheel).hexdigest() != file.sha256:
        raise Failure(f"{file.name} is not the file that the index promised")
    return wheel


def _platform():  # noqa: ANN202 - a predicate on names of wheels
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "darwin":
        names = {machine, "arm64"} if machine == "aarch64" else {machine}
        return lambda name: "-macosx_" in name and any(f"_{m}." in name for m in names)
    kind = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return lambda name: kind in name and f"_{machine}." in name


def _get(url: str, accept: str) -> "tuple[bytes, str]":
    """The body and its content type; a user and password in the address become a header."""
    parts = urlsplit(url)
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    request.add_header("Accept", accept)
    request.add_header("User-Agent", "pieria-bootstrap")
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    context = ssl.create_default_context()
    if own := os.environ.get("PIP_CERT"):
        context.load_verify_locations(own)
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return answer.read(), answer.headers.get("Content-Type", "")


def _say(text: str) -> None:
    sys.stderr.write(f"install: {text}\n")


def _indexes() -> "list[str]":
    return _packages().indexes(os.environ)


def _packages():  # noqa: ANN202 - a module
    sys.path.insert(0, str(ROOT))
    from adapters import packages

    return packages


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - it says so instead of a syntax error
        found = ".".join(str(n) for n in sys.version_info[:2])
        _say(f"Python 3.11 or newer is needed, {sys.executable} is {found}: make PYTHON=... names another.")
        sys.exit(1)
    sys.exit(main())
