r"""The Markdown that models write, as a markdown-it parser.

It differs from CommonMark where people would lose characters or see a mark that nobody meant: HTML, entities, underlined
headings and link definitions are text; `5*3*2` and `__init__` are not emphasis; an address is a link of its own; formulas
stand in `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`, and prices do not.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline, image, link
from markdown_it.rules_inline.state_inline import Delimiter

DEEPEST = 12
"""Levels of quotes and lists (a list counts two); what is deeper is text."""
NESTING = 20
"""Levels of brackets in the label of a link, and of all else: each `[` of a page of them costs so many looks ahead."""
FORMULA = 4000
"""Characters; a longer stretch between two dollars is no formula."""


def dialect() -> MarkdownIt:
    """A parser. It is quick on hostile input too: no rule looks further than a constant or a memory of its own."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING}).enable(["table", "strikethrough"])
    parser.disable(["entity", "lheading", "reference", "html_block", "html_inline"])
    block, inline = parser.block.ruler, parser.inline.ruler
    block.before("table", "deep", _deep)
    block.before("fence", "formula", _formula_block, {"alt": ["paragraph", "blockquote", "list"]})
    inline.before("newline", "address", _address)
    inline.at("newline", _newline)
    inline.before("escape", "formula", _formula)
    inline.at("escape", _escape)
    inline.at("emphasis", _emphasis)
    inline.at("link", _link)
    inline.at("image", _image)
    return parser


def _deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.level < DEEPEST:
        return False
    if not silent:
        state.push("paragraph_open", "p", 1).map = [start, end]
        token = state.push("inline", "", 0)
        token.content = state.getLines(start, end, state.blkIndent, False).strip()
        token.map, token.children = [start, end], []
        state.push("paragraph_close", "p", -1)
    state.line = end
    return True


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    begin = state.bMarks[start] + state.tShift[start]
    opening = state.src[begin : begin + 2]
    if opening not in ("$$", r"\[") or state.sCount[start] - state.blkIndent >= 4:
        return False
    # Asked whether it ends a paragraph of a list, the formula may stand further left than the list.
    indent = min(state.blkIndent, state.sCount[start])
    close = state.src.find(CLOSING[opening], begin + 2, begin + FORMULA)
    if close < 0:
        return False
    line = start
    while line < end and state.eMarks[line] < close:
        line += 1
        if line >= end or (state.sCount[line] < indent and not state.isEmpty(line)):
            return False
    if state.src[close + 2 : state.eMarks[line]].strip():
        return False
    parts = [state.src[state.bMarks[i] + state.tShift[i] : state.eMarks[i]] for i in range(start + 1, line)]
    if line == start:
        parts = [state.src[begin + 2 : close]]
    else:
        parts = [state.src[begin + 2 : state.eMarks[start]], *parts]
        parts.append(state.src[state.bMarks[line] + state.tShift[line] : close])
    latex = "\n".join(parts).strip()
    if not latex or "\n\n" in latex or "```" in latex:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.map = True, latex, [start, line + 1]
        state.line = line + 1
    return True


def _formula(state: StateInline, silent: bool) -> bool:
    src, pos = state.src, state.pos
    if src[pos] not in "$\\":
        return False
    opening = src[pos : pos + 2]
    if opening not in CLOSING:
        if opening[0] == "\\" or opening[1:2].isspace() or (pos and (src[pos - 1].isalnum() or src[pos - 1] == "$")):
            return False
        opening = "$"
    begin = pos + len(opening)
    close = src.find(CLOSING[opening], begin, min(begin + FORMULA, state.posMax))
    while opening == "$" and close > begin and src[close - 1] == "\\":
        close = src.find("$", close + 1, min(begin + FORMULA, state.posMax))
    latex = src[begin:close]
    if close < 0 or not latex.strip() or "\n\n" in latex:
        return False
    # A price stands before a space, a letter or a digit: "$5 and $6", "$PATH:$HOME", "$5-$10".
    after = src[close + 1 : close + 2]
    if opening == "$" and (latex[-1].isspace() or after.isalnum() or after == "$" or latex.count("\n") > 1):
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup = latex.strip(), opening
    state.pos = close + len(CLOSING[opening])
    return True


def _address(state: StateInline, silent: bool) -> bool:
    pos = state.pos
    if state.src[pos : pos + 3] != "://" or state.linkLevel:
        return False
    scheme = SCHEME.search(state.src, max(0, pos - 6), pos)
    found = ADDRESS.match(state.src, pos, state.posMax) if scheme else None
    if not scheme or not found or (not silent and not state.pending.endswith(scheme[1])):
        return False
    rest = trim_address(found[0])
    href = state.md.normalizeLink(scheme[1] + rest)
    if len(rest) < 4 or not state.md.validateLink(href):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[1])]
        state.push("link_open", "a", 1).attrs = {"href": href}
        state.push("text", "", 0).content = scheme[1] + rest
        state.push("link_close", "a", -1)
    state.pos = pos + len(rest)
    return True


def trim_address(address: str) -> str:
    """An address without the punctuation of the sentence around it; a bracket that it opened itself stays."""
    while address and (
        address[-1] in "?!.,:;*_~'\"" or (address[-1] == ")" and address.count("(") < address.count(")"))
    ):
        if address[-1] == ")":
            # One look for a whole run of brackets: a page of them must not cost its square.
            surplus = address.count(")") - address.count("(")
            run = len(address) - len(address.rstrip(")"))
            address = address[: -min(run, surplus)]
        else:
            address = address.rstrip("?!.,:;*_~'\"")
    return address


def _newline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "\n":
        return False
    if not silent:
        text = state.pending.rstrip(" ")
        hard = len(state.pending) - len(text) > 1
        state.pending = text
        state.push("hardbreak" if hard else "softbreak", "br", 0)
    # What follows keeps its indentation: a poem is laid out by it.
    state.pos += 1
    return True


def _escape(state: StateInline, silent: bool) -> bool:
    src, pos = state.src, state.pos
    if src[pos] != "\\" or pos + 1 >= state.posMax:
        return False
    char = src[pos + 1]
    if char == "\n":
        if not silent:
            state.push("hardbreak", "br", 0)
    elif char in ESCAPED or (char == ":" and src[pos + 2 : pos + 4] == "//"):
        if not silent:
            token = state.push("text_special", "", 0)
            token.content, token.markup, token.info = char, "\\" + char, "escape"
    else:
        return False
    state.pos += 2
    return True


def _emphasis(state: StateInline, silent: bool) -> bool:
    src, pos = state.src, state.pos
    marker = src[pos]
    if silent or marker not in "_*":
        return False
    if marker == "_" and (name := DUNDER.match(src, pos, state.posMax)) and not src[pos - 1 : pos].isalnum():
        state.append_pending(name[0])
        state.pos = name.end()
        return True
    scanned = state.scanDelims(pos, marker == "*")
    can_open, can_close = scanned.can_open, scanned.can_close
    if marker == "*":
        before = src[pos - 1] if pos else " "
        after = src[pos + scanned.length] if pos + scanned.length < state.posMax else " "
        if before.isalnum() and after.isalnum() and before < IDEOGRAPHIC and after < IDEOGRAPHIC:
            can_open = False
        # Scripts without spaces set a mark directly against a letter, outside closing punctuation too.
        can_close = can_close or (after >= IDEOGRAPHIC and not before.isspace())
        can_open = can_open or (before >= IDEOGRAPHIC and not after.isspace())
    for _ in range(scanned.length):
        token = state.push("text", "", 0)
        token.content = marker
        state.delimiters.append(
            Delimiter(
                marker=ord(marker),
                length=scanned.length,
                token=len(state.tokens) - 1,
                end=-1,
                open=can_open,
                close=can_close,
            )
        )
    state.pos += scanned.length
    return True


def _link(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "[" and _may_be_link(state) and link(state, silent)


def _image(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "!" and _may_be_link(state) and image(state, silent)


def _may_be_link(state: StateInline) -> bool:
    """Whether the end of a label is still to come. Most brackets that nobody closes are found out by this."""
    known = state.cache.get(LABEL, -1)
    if known < state.pos:
        found = state.src.find("](", state.pos, state.posMax)
        state.cache[LABEL] = known = found if found >= 0 else state.posMax
    return known < state.posMax


LABEL = -1
"""Where the parser's memory of a line, which goes by place, holds the next end of a label."""
CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)", "$": "$"}
SCHEME = re.compile(r"(?<![a-zA-Z0-9])(https?|HTTPS?|Https?|ftp|tg)$")
ADDRESS = re.compile(
    r"://[^\s<>\"\[\]`*\\|。,，、；：！？）」』】》“”‘’]+(?:,[^\s<>\"\[\]`*\\|。，、；：！？）」』】》“”‘’]+)*"
)
ESCAPED = frozenset("\\*_~`[]()#+-.!|$<>{}")
DUNDER = re.compile(r"__[A-Za-z0-9](?:[A-Za-z0-9_]{0,60}[A-Za-z0-9])?__(?!\w)")
IDEOGRAPHIC = "\u2e80"
"""Where the scripts begin that put no spaces between words."""
