"""What a person reads of a text in Discord's Markdown, by the rules that its clients read it with.

A list item keeps its bullet or number, a link that hides its address shows it behind the label. What would be shown as
something else than its characters (a mention, a time, an emoji by its name) is read as `⟦…⟧`, which nobody said.
"""

import re

_BLOCK = re.compile(r"```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n][\s\S]*?)\n*```", re.IGNORECASE)
_CODE = re.compile(r"(`+)([\s\S]*?[^`])\1(?!`)")
_ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")
_ALIVE = re.compile(r"<(?:@[!&]?\d+|#\d+|a?:\w+:\d+|/[^:>]+:\d+|t:-?\d+(?::\w)?|id:\w+)>|:[^\s:]+?(?:::skin-tone-\d)?:")
_EMOJI = re.compile(r":[a-z0-9_+-]+:")
_LABELLED = re.compile(
    r"\[((?:\\.|[^\[\]\\]|\[[^\[\]]*\])+)\]\(<?((?:https?|discord)://[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?\)"
)
_POINTED = re.compile(r"<((?:https?|discord)://[^\s>]+)>")
_ADDRESS = re.compile(r"https?://[^\s<]+[^<.,:;\"'\]\s]")
_HEADING = re.compile(r"(#{1,3}|-#)[ \t]+(?=\S)")
_ITEM = re.compile(r"([ \t]*)([*-])[ \t]+(?=\S)")
_NUMBER = re.compile(r"([ \t]*)(\d+\.)[ \t]+(?=\S)")
_QUOTE = re.compile(r"[ \t]*> [^\n]*(?:\n[ \t]*> [^\n]*)*")
_REST = re.compile(r"[ \t]*>>> ([\s\S]*)")
_MARKS = (
    re.compile(r"(\*\*)((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)"),
    re.compile(r"(__)((?:\\[\s\S]|[^\\])+?)__(?!_)"),
    re.compile(r"(~~)((?:\\[\s\S]|[^\\])+?)~~"),
    re.compile(r"(\|\|)([\s\S]+?)\|\|"),
    re.compile(r"(?<!\w)(_)((?:__|\\[\s\S]|[^\\_])+?)_(?!\w)"),
    re.compile(r"(\*)(?=\S)((?:\*\*|\\[\s\S]|\s+(?:\\[\s\S]|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)"),
)
_PLAIN = re.compile(r"[0-9A-Za-z \u00c0-\uffff]+")


def discord_text(markdown: str) -> str:
    """The text as it stands in a client."""
    return re.sub(r"[ \t]+(?=\n|$)", "", _read(markdown)).strip("\n")


def _read(text: str, *, quoted: bool = False, inner: bool = False) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        fresh = not inner and (at == 0 or text[at - 1] == "\n")
        at = _block(text, at, out, quoted=quoted) if fresh else _inline(text, at, out)
    return "".join(out)


def _block(text: str, at: int, out: list[str], *, quoted: bool) -> int:
    if not quoted and (found := _REST.match(text, at)):
        out.append(_read(found[1], quoted=True))
        return found.end()
    if not quoted and (found := _QUOTE.match(text, at)):
        out.append(_read(re.sub(r"^[ \t]*> ", "", found[0], flags=re.MULTILINE), quoted=True))
        return found.end()
    if found := _HEADING.match(text, at):
        return _line(text, found.end(), out)
    if found := _ITEM.match(text, at):
        out.append(f"{found[1]}• ")
        return _line(text, found.end(), out)
    if found := _NUMBER.match(text, at):
        out.append(f"{found[1]}{found[2]} ")
        return _line(text, found.end(), out)
    return _inline(text, at, out)


def _line(text: str, at: int, out: list[str]) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    out.append(_read(text[at:end], inner=True))
    return end


def _inline(text: str, at: int, out: list[str]) -> int:
    if found := _ESCAPE.match(text, at):
        out.append(found[1])
    elif found := _BLOCK.match(text, at):
        out.append(found[2])
    elif found := _CODE.match(text, at):
        out.append(re.sub(r"^ (?= *`)|(?<=`)( *) $", r"\1", found[2]))
    elif found := _LABELLED.match(text, at):
        label = _read(found[1], inner=True)
        out.append(label if label == found[2] else f"{label} ({found[2]})")
    elif (found := _POINTED.match(text, at)) or (found := _ADDRESS.match(text, at)):
        out.append(found[found.re.groups])
    elif (found := _ALIVE.match(text, at)) and (text[at] == "<" or _EMOJI.fullmatch(found[0])):
        out.append(f"⟦{found[0]}⟧")
    elif found := next((found for mark in _MARKS if (found := mark.match(text, at))), None):
        out.append(_read(found[2], inner=True))
    elif found := _PLAIN.match(text, at):
        # A word may go on as an address: `https` is plain, what follows is not.
        cut = re.search(r"\bhttps?(?=$)", found[0])
        end = found.start() + (cut.start() if cut and cut.start() else len(found[0]))
        if cut and not cut.start() and (address := _ADDRESS.match(text, at)):
            out.append(address[0])
            return address.end()
        out.append(text[at:end])
        return end
    else:
        out.append(text[at])
        return at + 1
    return found.end()
