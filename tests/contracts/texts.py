"""Texts of models that are hard to show, with what a person must read.

In `PLAIN` nothing is markup: people read exactly what was said. In `MARKED` the words stand beside, in order. In `CODE`
a listing must stand in what is read as it is, with its spaces. `FORMULAS` are read as their source or as signs.
"""

import re

FAMILY = "👨‍👩‍👧‍👦"
PARAGRAPH = "snake_case, 2 * 3 * 4 = 24, a < b & c > d, $5 and $6, 👩‍👩‍👧‍👦, " + "and words to make it long " * 8

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

FORMULAS = (
    r"With $E=mc^2$ and \(x_1\) it costs $5 and $6. Then:" + "\n\n$$\n\\frac{a}{b} \\leq \\sqrt{2}\n$$\n\nDone.",
    re.compile(
        r"With(E=mc\^2|E=mc²)and(x_1|x₁)itcosts\$5and\$6\.Then:"
        r"(\\frac\{a\}\{b\}\\leq\\sqrt\{2\}|a/b≤√2|\(a\)/\(b\)≤√\(2\))Done\."
    ),
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
