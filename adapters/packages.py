"""Where package files come from: the indexes that pip and uv are told to use on this machine, and what an index says.

Standard library only: the installer runs it before anything is installed.
"""

import json
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin

PUBLIC = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class File(NamedTuple):
    """A file that an index offers; `sha256` is empty where the index does not tell it."""

    name: str
    url: str
    sha256: str


def indexes(environment: Mapping[str, str], home: Path | None = None) -> list[str]:
    """The simple indexes in the order in which to ask them, without a slash at the end; the public one by default.

    Read are UV_DEFAULT_INDEX, UV_INDEX_URL, UV_INDEX, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and pip.conf.
    """
    conf = _pip_conf(environment, home or Path.home())
    main = (
        environment.get("UV_DEFAULT_INDEX")
        or environment.get("UV_INDEX_URL")
        or environment.get("PIP_INDEX_URL")
        or conf.get("index-url")
        or PUBLIC
    )
    more = " ".join(
        environment.get(name) or default
        for name, default in (
            ("UV_INDEX", ""),
            ("UV_EXTRA_INDEX_URL", ""),
            ("PIP_EXTRA_INDEX_URL", conf.get("extra-index-url", "")),
        )
    )
    named = [re.sub(r"^[\w.-]+=(?=\w+:)", "", word).rstrip("/") for word in (main, *more.split())]
    return list(dict.fromkeys(named))


def normal(project: str) -> str:
    """The name by which an index knows a project."""
    return re.sub(r"[-_.]+", "-", project).lower()


def files(body: bytes, kind: str, url: str) -> list[File]:
    """The files on a project's page at `url`, whose content type is `kind`; those that were yanked are left out.

    Raises ValueError where it is not such a page.
    """
    if "json" in kind:
        try:
            return [
                File(found["filename"], urljoin(url, found["url"]), found.get("hashes", {}).get("sha256", ""))
                for found in json.loads(body)["files"]
                if not found.get("yanked")
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a page of a package index") from error
    page = _Links()
    page.feed(body.decode(errors="replace"))
    found = []
    for link in page.links:
        address, fragment = urldefrag(urljoin(url, link))
        sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
        found.append(File(address.rpartition("/")[2], address, sha256))
    return found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a" and "data-yanked" not in told and (link := told.get("href")):
            self.links.append(link)


def _pip_conf(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """What pip's files say, the nearest last; PIP_CONFIG_FILE stands for all of them where it is set."""
    own = environment.get("XDG_CONFIG_HOME", "")
    paths = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        Path("/Library/Application Support/pip/pip.conf"),
        home / ".pip/pip.conf",
        home / "Library/Application Support/pip/pip.conf",
        (Path(own) if own else home / ".config") / "pip/pip.conf",
    ]
    if prefix := environment.get("VIRTUAL_ENV"):
        paths.append(Path(prefix) / "pip.conf")
    if chosen := environment.get("PIP_CONFIG_FILE"):
        paths = [Path(chosen)]
    told: dict[str, str] = {}
    for path in paths:
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(path)
        except (OSError, ConfigError, UnicodeDecodeError):
            continue  # pip itself will complain about it
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                told |= {name.replace("_", "-"): " ".join(value.split()) for name, value in parser.items(section)}
    return told
