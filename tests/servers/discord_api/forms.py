"""What a message may be made of: the platform's limits on content, components, files and mentions."""

import re
from typing import TYPE_CHECKING, Any

from tests.servers.discord_api.messages import EPHEMERAL, SILENT, SUPPRESS_EMBEDS, TEXT, V2, VOICE, walk
from tests.servers.discord_api.people import Person
from tests.servers.discord_api.wire import Refused, invalid, words

if TYPE_CHECKING:
    from tests.servers.discord_api.channels import Channel

CREATE = words(
    "content nonce tts embeds allowed_mentions message_reference components sticker_ids attachments flags enforce_nonce "
    "poll shared_client_theme"
)
EDIT = words(
    "content embeds flags allowed_mentions components attachments tts"
)  # the last is sent by libraries, unread
FOLLOW_UP = words("content tts embeds allowed_mentions components attachments flags poll")
SETTABLE = {"create": SUPPRESS_EMBEDS | SILENT | VOICE | V2, "edit": SUPPRESS_EMBEDS | V2}
SETTABLE["answer"] = SETTABLE["create"] | EPHEMERAL

ROWS, TOP = {1}, {1, 9, 10, 12, 13, 14, 17}
IN_CONTAINER = TOP - {17}
SELECTS = {3, 5, 6, 7, 8}
FILE_SIZE = 10 * 2**20
REQUEST_SIZE = 25 * 2**20
LEGACY = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"


def check(body: Any, files: dict[str, tuple[str, bytes]], kind: str, *, v2: bool = False) -> None:
    """Refuse what the platform would; `v2`: the message that is edited has components of the second version already."""
    if not isinstance(body, dict):
        raise invalid("", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    content, flags = body.get("content"), body.get("flags") or 0
    if content is not None and not isinstance(content, str):
        raise invalid("content", "STRING_TYPE_CONVERT", "Could not interpret the value as string.")
    if content and len(content) > 2000:
        raise invalid("content", "BASE_TYPE_BAD_LENGTH", "Must be 2000 or fewer in length.")
    if not isinstance(flags, int) or flags & ~SETTABLE[kind] & ~(EPHEMERAL if kind == "edit" else 0):
        raise invalid("flags", "MESSAGE_FLAGS_INVALID", f"flags {flags} cannot be set here")
    if v2 and body.get("flags") is not None and not flags & V2:
        raise invalid("flags", "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG", "IS_COMPONENTS_V2 cannot be unset")
    _check_components(body.get("components") or [], v2=v2 or bool(flags & V2), files=files)
    if v2 or flags & V2:
        for name in ("content", "embeds", "poll", "sticker_ids"):
            if body.get(name):
                text = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                raise invalid(name, LEGACY, text)
    if len(body.get("embeds") or []) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    _check_files(body, files)
    _check_mentions(body.get("allowed_mentions"))
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > 25:
        raise invalid("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")


def unknown(body: Any, known: frozenset[str]) -> list[str]:
    """What the platform would let pass unread."""
    return [f"no field {name}" for name in body if name not in known] if isinstance(body, dict) else []


def with_ids(components: list[dict]) -> list[dict]:
    """Components as the platform gives them back: each with an id."""
    copies = _copy(components)
    taken = {c["id"] for c in walk(copies) if c.get("id")}
    number = 0
    for part in walk(copies):
        if not part.get("id"):
            number += 1
            while number in taken:
                number += 1
            part["id"] = number
    return copies


def pinged(
    channel: "Channel", text: str, allowed: dict | None, replied: Person | None
) -> tuple[list[Person], list[int], bool]:
    """Whom a message of the bot notifies: people, roles, everyone."""
    bare = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)
    parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse") or [])
    users, roles = ({str(i) for i in (allowed or {}).get(kind) or []} for kind in ("users", "roles"))
    named = [i for i in re.findall(r"<@!?(\d+)>", bare) if "users" in parse or i in users]
    people = [channel.server.everybody[int(i)] for i in dict.fromkeys(named) if int(i) in channel.server.everybody]
    if replied and (True if allowed is None else allowed.get("replied_user", False)) and replied not in people:
        people.append(replied)
    found = [int(i) for i in re.findall(r"<@&(\d+)>", bare) if "roles" in parse or i in roles]
    everyone = bool(re.search(r"@(everyone|here)\b", bare)) and "everyone" in parse
    may = channel.guild is not None and channel.may("mention_everyone")
    return people, found if may else [], everyone and may


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _check_components(components: list[dict], *, v2: bool, files: dict) -> None:
    if not v2 and len(components) > 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    parts = list(walk(components))
    if v2 and len(parts) > 40:
        raise invalid("components", "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "Must be 40 or fewer components in all.")
    for number, part in enumerate(components):
        _check_part(part, f"components/{number}", TOP if v2 else ROWS, files)
    text = sum(len(part["content"]) for part in parts if part["type"] == TEXT)
    if text > 4000:
        code = "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED"
        raise invalid("components", code, "The total displayable text size of the components must be 4000 or fewer.")
    named = [part["custom_id"] for part in parts if part.get("custom_id")]
    if len(named) != len(set(named)):
        raise invalid("components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")


def _check_part(part: dict, path: str, allowed: set[int], files: dict) -> None:
    kind = part.get("type")
    if kind not in allowed:
        fit = ", ".join(map(str, sorted(allowed)))
        raise invalid(f"{path}/type", "UNION_TYPE_CHOICES", f'Value of field "type" must be one of ({fit}).')
    inner = part.get("components") or []
    if kind == 1:
        most = 1 if any(c.get("type") in SELECTS for c in inner) else 5
        _check_length(f"{path}/components", inner, 1, most)
        _check_inner(inner, path, {2} | SELECTS, files)
    elif kind == 2:
        _check_button(part, path)
    elif kind in SELECTS:
        _check_length(f"{path}/custom_id", part.get("custom_id"), 1, 100)
        if kind == 3:
            _check_length(f"{path}/options", part.get("options"), 1, 25)
    elif kind == 9:
        _check_length(f"{path}/components", inner, 1, 3)
        _check_inner(inner, path, {10}, files)
        _check_part(part.get("accessory") or {}, f"{path}/accessory", {2, 11}, files)
    elif kind == 10:
        _check_length(f"{path}/content", part.get("content"), 1, 4000)
    elif kind == 12:
        _check_length(f"{path}/items", part.get("items"), 1, 10)
        for item in part["items"]:
            _check_media(item.get("media"), path, files)
    elif kind in (11, 13):
        _check_media(part.get("media" if kind == 11 else "file"), path, files)
    elif kind == 17:
        _check_length(f"{path}/components", inner, 1, 40)
        _check_inner(inner, path, IN_CONTAINER, files)


def _check_inner(inner: list[dict], path: str, allowed: set[int], files: dict) -> None:
    for number, part in enumerate(inner):
        _check_part(part, f"{path}/components/{number}", allowed, files)


def _check_button(part: dict, path: str) -> None:
    style = part.get("style")
    if style not in (1, 2, 3, 4, 5, 6):
        raise invalid(f"{path}/style", "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5, 6}.")
    if style == 5:
        if not re.match(r"(https?|discord)://", part.get("url") or "") or part.get("custom_id"):
            raise invalid(f"{path}/url", "BUTTON_COMPONENT_INVALID", "A link button has a url and no custom id")
        _check_length(f"{path}/url", part["url"], 1, 512)
    elif style != 6:
        _check_length(f"{path}/custom_id", part.get("custom_id"), 1, 100)
    if not part.get("label") and not part.get("emoji") and style != 6:
        raise invalid(f"{path}/label", "BUTTON_COMPONENT_LABEL_REQUIRED", "A button must have a label or an emoji")
    _check_length(f"{path}/label", part.get("label") or "", 0, 80)


def _check_media(media: dict | None, path: str, files: dict) -> None:
    url = (media or {}).get("url") or ""
    if url.startswith("attachment://"):
        if url.removeprefix("attachment://") not in {name for name, _ in files.values()}:
            raise invalid(path, "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", f"{url} is not attached")
    elif not re.match(r"https?://", url):
        raise invalid(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")


def _check_length(path: str, value: Any, least: int, most: int) -> None:
    if value is None:
        raise invalid(path, "BASE_TYPE_REQUIRED", "This field is required")
    if not least <= len(value) <= most:
        raise invalid(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def _check_files(body: dict, files: dict[str, tuple[str, bytes]]) -> None:
    if len(files) > 10:
        raise invalid("files", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    sizes = [len(data) for _, data in files.values()]
    if any(size > FILE_SIZE for size in sizes) or sum(sizes) > REQUEST_SIZE:
        raise Refused(40005)
    numbers = set()
    for part in files:
        found = re.fullmatch(r"files\[(\d)\]", part)
        if not found:
            raise invalid(part, "BASE_TYPE_BAD", "files are parts named files[0] to files[9]")
        numbers.add(found[1])
    named = {str(a.get("id")) for a in body.get("attachments") or [] if len(str(a.get("id"))) < 3}  # longer: kept ones
    if body.get("attachments") is not None and named != numbers:
        raise invalid("attachments", "ATTACHMENT_NOT_FOUND", f"attachments name {named}, the parts are {numbers}")
    if (body.get("flags") or 0) & VOICE:
        notes = [a for a in body.get("attachments") or [] if "waveform" in a and "duration_secs" in a]
        if len(files) != 1 or len(notes) != 1 or body.get("content"):
            raise invalid("flags", "VOICE_MESSAGE_INVALID", "a voice message is one file with duration and waveform")


def _check_mentions(allowed: Any) -> None:
    if allowed is None:
        return
    for kind in ("users", "roles"):
        if kind in (allowed.get("parse") or []) and allowed.get(kind):
            text = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            raise invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", text)
        if len(allowed.get(kind) or []) > 100:
            raise invalid(f"allowed_mentions/{kind}", "BASE_TYPE_MAX_LENGTH", "Must be 100 or fewer in length.")
