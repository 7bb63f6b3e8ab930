"""LaTeX as Unicode, for the places that cannot typeset it.

The meaning has to survive: a sub- or superscript without a Unicode form stays behind a mark, in parentheses when it is
longer than a character, and a fraction keeps its grouping.
"""

import re
from collections.abc import Callable

LONGEST = 4000
"""Characters; a longer formula is shown as its source."""
DEEPEST = 40
"""Levels of braces; a deeper formula is shown as its source."""


def unicode_math(latex: str) -> str:
    """The formula as people would type it: `e^{-x^2}` is `e^(-x²)`. What is not known stays as it was written."""
    if len(latex) > LONGEST:
        return latex.strip()
    tokens = TOKEN.findall(latex)
    depth = deepest = 0
    for piece in tokens:
        if piece in OPENERS:
            depth += 1
            deepest = max(deepest, depth)
        elif piece in CLOSERS:
            depth -= 1
    # `\sqrt\sqrt\sqrt x` nests without a brace, hence the count of arguments in a row.
    if deepest > DEEPEST or CHAIN.search(latex):
        return latex.strip()
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in _Formula(tokens).read().split("\n"))
    return "\n".join(lines).strip() or latex.strip()


TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\s+|[^\\]|\\$", re.DOTALL)
CHAIN = re.compile(rf"(?:(?:\\[a-zA-Z]+|[\^_])\s*){{{DEEPEST}}}")
OPENERS = ("{", r"\left", r"\begin", "[")
CLOSERS = ("}", r"\right", r"\end", "]")


class _Formula:
    """A formula while it is read from left to right."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def read(self, *ends: str) -> str:
        """What stands before the first of `ends` (which is passed over) or before the end."""
        out = ""
        while self.at < len(self.tokens):
            piece = self.tokens[self.at]
            if piece in ends:
                self.at += 1
                break
            out = self.step(piece, out)
        return out

    def step(self, piece: str, out: str) -> str:
        self.at += 1
        if piece in "^_" and piece:
            return _script(out, self.argument(), piece)
        if piece == "{":
            return out + self.read("}")
        if piece.isspace() or piece == "~":
            return out + " "
        if piece == "'":
            return out + "′"
        if piece == "&":
            return out + " "
        if piece == r"\\":
            return out + "\n"
        if not piece.startswith("\\"):
            return out + ("" if piece == "}" else piece)
        return self.command(piece[1:], out)

    def command(self, name: str, out: str) -> str:
        if name in RELATIONS:
            return f"{out.rstrip(' ')} {RELATIONS[name]} "
        if name in {"neg", "lnot", "partial", "nabla"}:
            self.skip()
        if name in SYMBOLS:
            return out + SYMBOLS[name]
        if name in FUNCTIONS:
            return out + (" " if out[-1:].isalnum() else "") + name + self.gap()
        if name in {"frac", "dfrac", "tfrac", "cfrac"}:
            top, bottom = self.argument(), self.argument()
            fraction = f"{_factor(top)}/{_divisor(bottom)}"
            return out + (f"({fraction})" if self.touches(out) else fraction)
        if name in {"binom", "dbinom", "tbinom"}:
            return f"{out}C({self.argument()}, {self.argument()})"
        if name == "sqrt":
            degree = self.option()
            sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree) or f"{_all(degree, SUPER) or degree + ' '}√"
            return out + sign + _grouped(self.argument())
        if name in ALPHABETS:
            return out + "".join(ALPHABETS[name](char) for char in self.argument())
        if name in WRITTEN:
            return out + self.argument(written=True)
        if name in ACCENTS:
            inner = self.argument()
            return out + (inner + ACCENTS[name] if len(inner) == 1 else f"{name}({inner})")
        if name in {"overline", "underline"}:
            return out + "".join(char + ("\u0305" if name == "overline" else "\u0332") for char in self.argument())
        if name in {"left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "middle"}:
            return out + self.delimiter()
        if name == "begin":
            return out + self.environment(self.argument(written=True))
        if name in SILENT:
            return out
        if name == "pmod":
            return f"{out.rstrip()} (mod {self.argument()})"
        if name in {"overset", "stackrel", "underset"}:
            over, base = self.argument(), self.argument()
            return _script(out + base, over, "_" if name == "underset" else "^")
        if self.tokens[self.at : self.at + 1] == ["{"]:
            return f"{out}\\{name}{{{self.argument()}}}"
        return f"{out}\\{name}"

    def argument(self, *, written: bool = False) -> str:
        """The next group or character; `written` keeps it as text."""
        self.skip()
        if self.at >= len(self.tokens):
            return ""
        piece = self.tokens[self.at]
        if piece != "{":
            return self.step(piece, "") if piece != "}" else ""
        self.at += 1
        if not written:
            return self.read("}").strip()
        start, depth = self.at, 1
        while self.at < len(self.tokens) and depth:
            depth += {"{": 1, "}": -1}.get(self.tokens[self.at], 0)
            self.at += 1
        inner = self.tokens[start : self.at - (not depth)]
        return "".join(piece[1:] if piece[0] == "\\" and not piece[1:].isalpha() else piece for piece in inner)

    def option(self) -> str:
        """The argument in square brackets, or nothing."""
        if self.tokens[self.at : self.at + 1] != ["["]:
            return ""
        self.at += 1
        return self.read("]").strip()

    def delimiter(self) -> str:
        self.skip()
        piece = self.tokens[self.at] if self.at < len(self.tokens) else "."
        self.at += 1
        return "" if piece == "." else SYMBOLS.get(piece[1:], piece[1:]) if piece[0] == "\\" else piece

    def environment(self, name: str) -> str:
        kind = name.rstrip("*")
        if kind in {"array", "alignedat", "alignat"}:
            self.argument(written=True)
        rows: list[list[str]] = [[""]]
        while self.at < len(self.tokens):
            piece = self.tokens[self.at]
            if piece == r"\end":
                self.at += 1
                self.argument(written=True)
                break
            if piece == "&":
                self.at += 1
                rows[-1].append("")
            elif piece == r"\\":
                self.at += 1
                rows.append([""])
            else:
                rows[-1][-1] = self.step(piece, rows[-1][-1])
        cells = [[re.sub(r"\s+", " ", cell).strip() for cell in row] for row in rows]
        cells = [row for row in cells if any(row)]
        if kind in BRACKETS:
            first, last = tuple(BRACKETS[kind])
            return first + "; ".join(", ".join(row) for row in cells) + last
        if kind == "cases":
            return "{ " + "; ".join(", ".join(cell.rstrip(",") for cell in row if cell) for row in cells)
        return "\n".join(" ".join(row) for row in cells)

    def skip(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1

    def gap(self) -> str:
        """A space between a function's name and a letter that follows it at once."""
        piece = self.tokens[self.at] if self.at < len(self.tokens) else " "
        return " " if piece[0].isalnum() or (piece[0] == "\\" and piece[1:] not in {"left", "big"}) else ""

    def touches(self, out: str) -> bool:
        """Whether a fraction here has a factor beside it, so that it needs parentheses of its own."""
        ahead = self.at
        while ahead < len(self.tokens) and self.tokens[ahead].isspace():
            ahead += 1
        piece = self.tokens[ahead] if ahead < len(self.tokens) else "."
        follows = piece.isalnum() or piece in "({^" or (piece[0] == "\\" and piece[1:] in OPERANDS)
        before = out.rstrip(" ")[-1:]
        return follows or before.isalnum() or before in tuple(")]")


def _script(out: str, inner: str, mark: str) -> str:
    inner = (
        re.sub(r"\s+", "", inner) if _all(re.sub(r"\s+", "", inner), SUPER if mark == "^" else SUB) else inner.strip()
    )
    if mark == "^" and inner in {"∘", "°"}:
        return out.rstrip() + "°"
    if inner and not inner.strip("′"):
        return out.rstrip() + inner
    small = _all(inner, SUPER if mark == "^" else SUB)
    return out.rstrip(" ") + (small or (mark + (inner if len(inner) == 1 else f"({inner})") if inner else ""))


def _all(inner: str, table: dict[str, str]) -> str:
    """The text in small letters, or nothing when a character has no small form."""
    return "".join(table[char] for char in inner) if all(char in table for char in inner) else ""


def _grouped(inner: str) -> str:
    return inner if len(inner) == 1 or inner.isdigit() else f"({inner})"


def _factor(inner: str) -> str:
    return inner if re.fullmatch(r"[\w.∂∞′]+", inner) else f"({inner})"


def _divisor(inner: str) -> str:
    return inner if re.fullmatch(r"\d+(?:\.\d+)?|[d∂]?[^\W\d][⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ₀₁₂₃₄₅₆₇₈₉ᵢⱼₙ′]*", inner) else f"({inner})"


def _words(text: str) -> list[str]:
    return text.split()


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


SUPER = dict(
    zip("0123456789+-−=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True)
) | dict(zip("ABDEGHIJKLMNOPRTUVWβγδθφχ", "ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡ", strict=True))
SUB = dict(zip("0123456789+-−=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))

GREEK = _pairs(
    "alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ nu ν "
    "xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi φ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ "
    "Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω"
)
OPERANDS = GREEK | _pairs(
    "sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ infty ∞ partial ∂ nabla ∇ emptyset ∅ varnothing ∅ ell ℓ hbar ℏ Re ℜ "
    "Im ℑ aleph ℵ angle ∠ triangle △ degree ° circ ∘ imath ı jmath ȷ wp ℘ top ⊤ bot ⊥ square □ blacksquare ■ checkmark ✓"
)
SYMBOLS = (
    OPERANDS
    | _pairs(
        "forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬ prime ′ ldots … cdots ⋯ dots … vdots ⋮ ddots ⋱ langle ⟨ rangle ⟩ lfloor ⌊ "
        "rfloor ⌋ lceil ⌈ rceil ⌉ lvert | rvert | vert | mid | lVert ‖ rVert ‖ Vert ‖ | ‖ backslash \\ { { } } lbrace { rbrace } "
        "$ $ % % # # _ _ & & colon : star ⋆ ast ∗ dagger † bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ lbrack [ rbrack ]"
    )
    | {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "quad": "  ", "qquad": "  ", "newline": "\n"}
)
RELATIONS = _pairs(
    "le ≤ leq ≤ leqslant ≤ ge ≥ geq ≥ geqslant ≥ ne ≠ neq ≠ approx ≈ equiv ≡ sim ∼ simeq ≃ cong ≅ propto ∝ ll ≪ gg ≫ in ∈ "
    "notin ∉ ni ∋ subset ⊂ subseteq ⊆ supset ⊃ supseteq ⊇ cup ∪ cap ∩ setminus ∖ wedge ∧ land ∧ vee ∨ lor ∨ oplus ⊕ otimes ⊗ "
    "times × cdot · div ÷ pm ± mp ∓ bullet • to → rightarrow → longrightarrow ⟶ leftarrow ← gets ← leftrightarrow ↔ Rightarrow "
    "⇒ implies ⇒ Longrightarrow ⇒ Leftarrow ⇐ impliedby ⇐ Leftrightarrow ⇔ iff ⇔ mapsto ↦ uparrow ↑ downarrow ↓ "
    "rightleftharpoons ⇌ hookrightarrow ↪ nearrow ↗ searrow ↘ perp ⟂ parallel ∥ vdash ⊢ models ⊨ therefore ∴ because ∵ "
    "lt < gt > coloneqq ≔ doteq ≐ bmod mod"
)
FUNCTIONS = frozenset(
    _words(
        "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup liminf max min sup inf det dim ker gcd deg arg Pr hom"
    )
)
WRITTEN = frozenset(
    _words("text textbf textit textrm textsf texttt mathrm mathsf mathtt operatorname mbox hbox tag label")
)
SILENT = frozenset(_words("displaystyle textstyle scriptstyle limits nolimits nonumber notag hline boxed phantom"))
ACCENTS = _pairs("hat \u0302 widehat \u0302 bar \u0304 vec \u20d7 dot \u0307 ddot \u0308 tilde \u0303 widetilde \u0303")
BRACKETS = {
    "matrix": "()",
    "smallmatrix": "()",
    "array": "()",
    "pmatrix": "()",
    "bmatrix": "[]",
    "Bmatrix": "{}",
    "vmatrix": "||",
    "Vmatrix": "‖‖",
}
DOUBLE = dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))
ALPHABETS: dict[str, Callable[[str], str]] = {
    "mathbb": lambda char: DOUBLE.get(char) or (chr(0x1D538 + ord(char) - 65) if "A" <= char <= "Z" else char),
    "mathbf": lambda char: char,
    "boldsymbol": lambda char: char,
    "bm": lambda char: char,
    "mathit": lambda char: char,
    "mathcal": lambda char: dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True)).get(char, char),
    "mathscr": lambda char: dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True)).get(char, char),
    "mathfrak": lambda char: char,
}
