"""The installer: with nothing but Python and a package index, and silent on standard output."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adapters.packages import PUBLIC, File, files, indexes, normal
from tests.docs.links import anchors, broken

ROOT = Path(__file__).parents[2]

UV = """#!/bin/sh
echo "$@" >> "$UV_LOG"
case "$*" in
    --version) echo "uv 0.13.9" ;;
    *) mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"; : > "$UV_PROJECT_ENVIRONMENT/bin/python"; echo noise ;;
esac
"""


class Index:
    """A package index that offers a uv of our own making."""

    def __init__(self) -> None:
        machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        system = f"manylinux_2_17_{machine}.manylinux2014_{machine}"
        if sys.platform == "darwin":
            system = f"macosx_11_0_{'arm64' if machine == 'aarch64' else machine}"
        elif platform.libc_ver()[0] != "glibc":
            system = f"musllinux_1_1_{machine}"
        self.names = [f"uv-{version}-py3-none-{system}.whl" for version in ("0.13.8", "0.13.9", "0.14.0")]
        self.wheel = wheel(UV)
        self.sha256 = hashlib.sha256(self.wheel).hexdigest()
        self.authorization: set[str | None] = set()
        self.fetched: list[str] = []
        self.url = ""


def wheel(program: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("uv-0.13.9.data/scripts/uv", program)
    return file.getvalue()


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.authorization.add(self.headers.get("Authorization"))
            if self.path == "/simple/uv/":
                links = "".join(f'<a href="../../f/{name}#sha256={made.sha256}">{name}</a>' for name in made.names)
                self._say("text/html", f"<html>{links}<a href='uv-1.tar.gz'>x</a></html>".encode())
            else:
                made.fetched.append(self.path.rpartition("/")[2])
                self._say("application/octet-stream", made.wheel)

        def _say(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://me:pass%20word@127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone, as far as the installer looks at it."""
    folder = tmp_path / "clone"
    for name in ("deploy/bootstrap.py", "adapters/__init__.py", "adapters/packages.py", "uv.lock", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def install(checkout: Path, index: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it where PATH knows no uv, with a Python that sees no installed package."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(checkout),
        "PIP_INDEX_URL": index,
        "UV_LOG": str(checkout / "log"),
    }
    command = [sys.executable, "-S", str(checkout / "deploy/bootstrap.py"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def commands(checkout: Path) -> list[str]:
    return [line for line in (checkout / "log").read_text().splitlines() if line != "--version"]


def test_uv_comes_from_the_configured_index(checkout: Path, index: Index) -> None:
    told = install(checkout, index.url)
    assert told.returncode == 0, told.stderr
    assert told.stdout == ""
    assert index.fetched == [index.names[1]], "the version that is pinned, for this machine"
    assert os.access(checkout / ".tools/uv", os.X_OK)
    assert index.authorization == {"Basic bWU6cGFzcyB3b3Jk"}
    assert "pass" not in told.stderr


def test_nothing_is_done_twice(checkout: Path, index: Index) -> None:
    install(checkout, index.url)
    before = commands(checkout)
    again = install(checkout, index.url)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert commands(checkout) == before
    (checkout / "uv.lock").write_text("version = 1")
    install(checkout, index.url)
    assert len(commands(checkout)) > len(before)
    assert len(index.fetched) == 1


def test_who_runs_it_gets_no_tools_of_development(checkout: Path, index: Index) -> None:
    install(checkout, index.url)
    assert all("--no-dev" in line for line in commands(checkout) if line.startswith(("sync", "export")))
    assert not (checkout / ".venv/.installed-dev").exists()
    before = len(commands(checkout))
    install(checkout, index.url, "--dev")
    later = commands(checkout)[before:]
    assert later
    assert not any("--no-dev" in line for line in later)
    assert (checkout / ".venv/.installed-dev").exists()


def test_what_several_machines_need_comes_when_it_is_asked_for_and_is_then_kept(checkout: Path, index: Index) -> None:
    def brought() -> list[bool]:
        return ["--extra=cluster" in line for line in commands(checkout) if line.startswith(("sync", "export"))]

    install(checkout, index.url)
    assert brought() == [False]
    install(checkout, index.url, "--cluster")
    assert brought() == [False, True]
    assert "--no-dev" in commands(checkout)[-3]
    install(checkout, index.url)
    assert brought() == [False, True]
    (checkout / "uv.lock").write_text("version = 1")
    install(checkout, index.url)
    assert brought() == [False, True, True]


def test_the_tests_have_what_several_machines_need(checkout: Path, index: Index) -> None:
    install(checkout, index.url, "--dev")
    assert all("--extra=cluster" in line for line in commands(checkout) if line.startswith(("sync", "export")))


def test_a_uv_with_other_bytes_is_refused(checkout: Path, index: Index) -> None:
    index.wheel = wheel("#!/bin/sh\necho evil")
    told = install(checkout, index.url)
    assert told.returncode == 1
    assert "is not the file that the index promised" in told.stderr
    assert not (checkout / ".tools/uv").exists()


def test_an_index_that_is_gone_is_told_in_one_sentence(checkout: Path) -> None:
    told = install(checkout, "http://127.0.0.1:1/simple")
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "install uv yourself" in told.stderr


def test_the_lock_holds_public_addresses_only() -> None:
    addresses = {
        line.split('"')[1].split("/")[2] for line in (ROOT / "uv.lock").read_text().splitlines() if "url = " in line
    }
    assert addresses <= {"files.pythonhosted.org", "pypi.org"}


def test_indexes_are_those_of_uv_then_of_pip(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://conf/simple/\nextra-index-url =\n    https://more/a\n    https://more/b/\n"
    )
    own = {"PIP_CONFIG_FILE": str(conf)}
    assert indexes({"PIP_CONFIG_FILE": os.devnull}, tmp_path) == [PUBLIC]
    assert indexes(own, tmp_path) == ["https://conf/simple", "https://more/a", "https://more/b"]
    assert indexes(own | {"PIP_INDEX_URL": "https://pip/simple"}, tmp_path)[0] == "https://pip/simple"
    both = own | {"PIP_INDEX_URL": "https://pip/simple", "UV_DEFAULT_INDEX": "corp=https://uv/simple/"}
    assert indexes(both, tmp_path)[0] == "https://uv/simple"


def test_a_page_of_an_index_is_read_in_both_forms() -> None:
    json = b'{"files": [{"filename": "a-1.whl", "url": "../../f/a-1.whl", "hashes": {"sha256": "00"}}, {"filename": "b", "url": "b", "yanked": "bad"}]}'
    html = b'<a href="../../f/a-1.whl#sha256=00">a-1.whl</a><a href="b" data-yanked="bad">b</a>'
    wanted = [File("a-1.whl", "https://index/f/a-1.whl", "00")]
    assert files(json, "application/vnd.pypi.simple.v1+json", "https://index/simple/a/") == wanted
    assert files(html, "text/html; charset=utf-8", "https://index/simple/a/") == wanted
    assert normal("A_b..C") == "a-b-c"
    with pytest.raises(ValueError, match="not a page"):
        files(b"{}", "application/json", "https://index/simple/a/")


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# One\n\n## The *way*, twice\n\n## One\n")
    (tmp_path / "README.md").write_text(
        "[a](docs/a.md#one-1) [b](docs/a.md#the-way-twice) [c](docs/none.md) [d](docs/a.md#two) [e](https://x.org/y)\n"
        "`[f](code.md)`\n```\n[g](fence.md)\n```\n[h](#nothing) [i](../out.md)\n"
    )
    assert [line.split(": ")[1].split()[0] for line in broken(tmp_path)] == [
        "docs/none.md",
        "docs/a.md#two",
        "#nothing",
        "../out.md",
    ]
    assert anchors("# One\n```\n# code\n```\n# One\n") == {"one", "one-1"}
