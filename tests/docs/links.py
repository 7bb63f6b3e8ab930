"""`python -m tests.docs.links`: every relative link and anchor in the Markdown of the root and of docs/ leads somewhere."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)


def broken(root: Path = ROOT) -> list[str]:
    """A line for each link that leads nowhere."""
    documents = sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])
    return [fault for document in documents for fault in _faults(document, root)]


def _faults(document: Path, root: Path) -> list[str]:
    faults = []
    for match in _LINK.finditer(_plain(document.read_text())):
        link = match[1] or match[2]
        if _OUTSIDE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / unquote(path)).resolve() if path else document
        place = f"{document.relative_to(root)}: {link}"
        if not target.is_relative_to(root.resolve()):
            faults.append(f"{place} leads out of the repository")
        elif not target.exists():
            faults.append(f"{place} does not exist")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            faults.append(f"{place} has no such heading")
    return faults


def anchors(text: str) -> set[str]:
    """The anchors that headings get where Markdown is shown: lower case, no punctuation, spaces to hyphens, numbered."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def _plain(text: str) -> str:
    return _CODE.sub("", _FENCE.sub("", text))


if __name__ == "__main__":
    lines = broken()
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(1 if lines else 0)
