"""Where one character ends as people see it: an emoji of seven code points, a flag and an accented letter are one each."""

import unicodedata


def boundary(text: str, place: int, floor: int) -> int:
    """The last place in (floor, place] between two characters as people see them, or 0 where there is none near."""
    for candidate in range(place, max(floor, place - 64), -1):
        if _between(text, candidate, floor):
            return candidate
    return 0


def _between(text: str, place: int, floor: int) -> bool:
    if place >= len(text):
        return True
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return not (before == "\r" and after == "\n")
    if (
        after == "\u200d"
        or before == "\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or "\U000e0020" <= after <= "\U000e007f"
    ):
        return False
    if unicodedata.category(after)[0] == "M":
        return False
    if unicodedata.combining(before) == 9 and unicodedata.category(after) == "Lo":  # a virama joins consonants
        return False
    if _flag(before) and _flag(after):
        start = place
        while start > floor and _flag(text[start - 1]):
            start -= 1
        return (place - start) % 2 == 0
    jamo = ("\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3") and "\u1100" <= after <= "\u11ff"
    return not jamo


def _flag(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
