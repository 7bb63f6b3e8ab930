"""Texts of models that are hard to show, with what a person must read.

In `PLAIN` nothing is markup: people read exactly what was said. In `MARKED` the words stand beside, in order. In `CODE`
a listing must stand in what is read as it is, with its spaces. `FORMULAS` are read as their source or as signs.
"""

import re

READY = "This is long enough for every place to show it while more is to come."
"""How a reply begins that is to be seen while it grows."""

CALLS = "Dear @everyone, @here, @channel, @Bob and @bob_smith; <!channel> <!here> <!everyone> <@U2> <@1002> <@&2001>"
"""Every way to call people that some platform knows. For us they are words."""

FAMILY = "👨‍👩‍👧‍👦"
PARAGRAPH = "snake_case, 2 * 3 * 4 = 24, a < b & c > d, $5 and $6, 👩‍👩‍👧‍👦, " + "and words to make it long " * 8

CLUSTERS = (FAMILY, "🏳️‍🌈", "🇩🇪", "👍🏽", "❤️‍🔥", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "e\u0301", "👩🏿‍🚀", "क्षि", "👨‍❤️‍💋‍👨")
"""Signs of several code points; a person sees one each."""

PLAIN = {
    "prose_with_signs_that_could_be_markup": (
        "2 * 3 * 4 = 24, 5*3*2 = 30; snake_case_names and __init__; a < b && c > d, <b>not bold</b> &amp; so on; "
        "it costs $5 and $6, or US$5-$10; $PATH:$HOME; C#, tag #1, a|b || c; ~5 ~ 6; it`s one; arr[0] = {x: 1}; "
        "C:\\new\\temp; 50% @name (c) x**2 + y**2; 1_000_000.\n#hashtag at the start of a line\n+1 for that"
    ),
    "script_tags_are_words": "<script>alert('x')</script> and <img src=x onerror=alert(1)> and </p></div> are words.",
    "right_to_left_text": "שלום עולם, מה שלומך?\n\nمرحبا بالعالم، كيف حالك؟ (123) abc!\n\nEnglish עברית English.",
    "joined_emoji_and_flags": ("👨‍👩‍👧‍👦 🇩🇪🇫🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿 👍🏽 1️⃣ 🏳️‍🌈 ❤️‍🔥 e\u0301 क्षि 한국어 日本語。"),
    "more_than_four_thousand_emoji": "🙂" * 4_097,
    "four_thousand_joined_emoji": FAMILY * 4_097,
    "emoji_of_many_kinds_without_a_space": "".join(CLUSTERS) * 250,
    "families_between_words": " ".join(f"{n} {'x' * (n % 7)}{FAMILY}{'👩🏿‍🚀' * (n % 5)}" for n in range(1_200)),
    "right_to_left_among_signs": (
        "ההגדרה PIERIA_KEEP=90 נמצאת בקובץ (pieria.toml), ראו https://a.example/x_y?q=1.\n"
        "النسبة 50% من 1,234.5 تساوي 617.25 (تقريبا) في C:\\new\\temp!\n"
        "مرحبا @name، السعر $5 و 6€؛ snake_case_name = 2 * 3 * 4."
    ),
    "ten_thousand_mentions": " ".join(f"@user{number}" for number in range(10_000)),
    "a_word_of_twenty_thousand_letters": "".join(chr(ord("a") + number * 7 % 26) for number in range(20_000)),
    "sixty_paragraphs": "\n\n".join(f"Paragraph {number}: {PARAGRAPH}".strip() for number in range(60)),
    "two_thousand_lines": "\n".join(f"Line {number} of this." for number in range(2_000)),
}

MARKED = {
    "marks_inside_a_line": (
        "Some **bold**, *slanted*, ~~struck~~ and `code_with_*stars*` words.",
        "Some bold, slanted, struck and code_with_*stars* words.",
    ),
    "headings_quotes_and_rules": (
        "# Title\n\n## Second\n\nText.\n\n> Quoted *words*\n> go on.\n\n---\n\nEnd.",
        "Title Second Text. Quoted words go on. End.",
    ),
    "a_table": (
        "Before:\n\n| Name | Price |\n|:--|--:|\n| Apple | $1 |\n| `a_b` | **2** |\n\nAfter.",
        "Before: Name Price Apple $1 a_b 2 After.",
    ),
    "nested_lists": (
        "- one\n  - two\n    - three\n  - four\n- five\n\n3. third\n4. fourth\n   - inside\n5. fifth",
        "one two three four five 3. third 4. fourth inside 5. fifth",
    ),
    "links_with_brackets_and_underscores": (
        "See [the _odd_ (page)](https://en.wikipedia.org/wiki/A_(b)_c_d) and https://a.example/x_(y)_z?q=1&r=2_3.",
        "See the odd (page) (https://en.wikipedia.org/wiki/A_(b)_c_d) and https://a.example/x_(y)_z?q=1&r=2_3.",
    ),
    "a_task_list": (
        "To do:\n\n- [x] bread\n- [ ] milk\n  - [ ] of *oats*\n- [X] `tea_2`\n\nDone.",
        "To do: bread milk of oats tea_2 Done.",
    ),
    "a_quote_with_a_list_inside": (
        "He said:\n\n> First **this**:\n>\n> - one\n> - two\n>   1. inner\n>\n> > and deeper `code`\n>\n> Last.\n\nAfter.",
        "He said: First this: one two 1. inner and deeper code Last. After.",
    ),
    "a_list_with_a_quote_and_a_listing_inside": (
        "1. first\n\n   > quoted\n\n2. second\n\n   ```py\n   x = 1\n   ```\n\n3. third\n\nAfter.",
        "1. first quoted 2. second x = 1 3. third After.",
    ),
    "a_table_with_pipes_and_code_in_cells": (
        "| Sign | Meaning |\n|---|---|\n| a \\| b | `x \\| y` |\n| `f(*a)` | 2 * 3 * 4 |\n| | **empty** left |\n\nAfter.",
        "Sign Meaning a b x y f(*a) 2 * 3 * 4 empty left After.",
    ),
    "right_to_left_with_code_and_marks": (
        "# כותרת\n\n- **שלום** `x_1 = 2` עולם\n- *مرحبا* [صفحة](https://a.example/p_q)\n\n> اقتباس `a*b*c`",
        "כותרת שלום x_1 = 2 עולם مرحبا صفحة (https://a.example/p_q) اقتباس a*b*c",
    ),
    "a_dangerous_address_is_no_link": (
        "[x](javascript:alert(1)) and [y](data:text/html,hi)",
        "[x](javascript:alert(1)) and [y](data:text/html,hi)",
    ),
}

LISTING = (
    'def f(a_b, *c):\n    if a_b < 3 and c:\n        return `x`, "```", \'$y$\', r"\\d"  # two  spaces\n\n    return 1'
)
CODE = {
    "a_listing_with_backticks": (f"First:\n\n````py\n{LISTING}\n````\n\nThen.", LISTING, "First:", "Then."),
    "a_listing_that_nobody_closed": ("First:\n\n```py\nx = 1\ny = 2", "x = 1\ny = 2", "First:", ""),
    "a_listing_in_a_listing": (
        "First:\n\n````md\n```py\nprint(1)\n```\n````\n\nThen.",
        "```py\nprint(1)\n```",
        "First:",
        "Then.",
    ),
}

FORMULAS = {
    "inline_and_display": (
        r"With $E=mc^2$ and \(x_1\) it costs $5 and $6. Then:" + "\n\n$$\n\\frac{a}{b} \\leq \\sqrt{2}\n$$\n\nDone.",
        re.compile(
            r"With(E=mc\^2|E=mc²)and(x_1|x₁)itcosts\$5and\$6\.Then:"
            r"(\\frac\{a\}\{b\}\\leq\\sqrt\{2\}|a/b≤√2|\(a\)/\(b\)≤√\(2\))Done\."
        ),
    ),
    "a_matrix": (
        "A:\n\n\\[\n\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}\n\\]\n\nDone.",
        re.compile(r"A:(\\begin\{pmatrix\}a&b\\\\c&d\\end\{pmatrix\}|.*a.*b.*c.*d.*)Done\."),
    ),
    "beside_code_and_in_a_list": (
        "- so $a_1 < b$\n- but `$a_1$` is code\n- and $5 is a price",
        re.compile(r"[•*-]so(a_1<b|a₁<b)[•*-]but\$a_1\$iscode[•*-]and\$5isaprice"),
    ),
}

LINKED_TABLE = (
    "| Name | Where |\n|---|---|\n| One | [a _page_](https://a.example/x_(y)_z) |\n| Two | https://b.example/q?a=1&b=2 |",
    "One a page (https://a.example/x_(y)_z) Two https://b.example/q?a=1&b=2",
)

ROWS = 400
LONG_TABLE = "| Number | Word |\n|---|---|\n" + "\n".join(f"| n{number} | w{number} |" for number in range(ROWS))
LONG_LISTING = "```py\n" + "\n".join(f"line_{number} = {number}" for number in range(3_000)) + "\n```"

GROWING = (
    "Here is the first paragraph, which is long enough to be shown.\n\n```py\nfirst = 1\nsec",
    "ond = 2\n``",
    "`\n\nAnd that is all there is to say about it.",
)
"""A reply in pieces that end in the middle of a listing, and in the middle of its end."""
