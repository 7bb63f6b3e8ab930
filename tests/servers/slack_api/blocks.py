"""Blocks of messages and views: what the platform accepts, and what a person reads of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.slack_api import text as wording
from tests.servers.slack_api.text import Names
from tests.servers.slack_api.wire import Refused, words

KEYS = {
    "section": "text fields accessory expand",
    "divider": "",
    "header": "text level",
    "context": "elements",
    "actions": "elements",
    "context_actions": "elements",
    "image": "image_url slack_file alt_text title",
    "markdown": "text",
    "rich_text": "elements",
    "table": "rows column_settings",
    "data_table": "rows columns caption title",
    "input": "label element hint optional dispatch_action",
    "video": "alt_text title title_url thumbnail_url video_url description provider_name provider_icon_url author_name",
    "alert": "level text",
    "card": "title subtitle body hero_image icon actions slack_icon subtext",
    "carousel": "elements",
    "container": "title rich_text_title child_blocks subtitle icon width is_collapsible default_collapsed has_header_divider",
    "task_card": "task_id title details output sources status",
    "plan": "title tasks",
}
IN_MESSAGES_ONLY = words("markdown table data_table context_actions alert card carousel container task_card plan")
ELEMENTS = words(
    "button static_select multi_static_select users_select conversations_select channels_select overflow datepicker "
    "timepicker datetimepicker checkboxes radio_buttons external_select workflow_button multi_users_select"
)
BUTTON = words("type text action_id value url style confirm accessibility_label")


@dataclass(slots=True)
class Reading:
    """What blocks say: the text as it is read, whom they would call, addresses, and buttons by their labels."""

    text: str = ""
    pings: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    buttons: list[dict] = field(default_factory=list)


class Checked:
    """The errors of a list of blocks, gathered in the platform's words."""

    def __init__(self, *, view: bool) -> None:
        self.errors: list[str] = []
        self._view = view
        self._block_ids: set[str] = set()

    def blocks(self, blocks: list, at: str, most: int) -> None:
        if len(blocks) > most:
            self._say(f"no more than {most} items allowed", at)
        markdown = tables = 0
        for number, block in enumerate(blocks):
            where = f"{at}/{number}"
            if not isinstance(block, dict) or block.get("type") not in KEYS:
                kind = block.get("type") if isinstance(block, dict) else None
                self._say(f"unsupported type: {kind}", f"{where}/type")
                continue
            if self._view and block["type"] in IN_MESSAGES_ONLY:
                self._say(f"unsupported type: {block['type']}", f"{where}/type")
            if not self._view and block["type"] == "input":
                self._say("unsupported type: input", f"{where}/type")
            self._block(block, where)
            markdown += len(block["text"]) if block["type"] == "markdown" and isinstance(block.get("text"), str) else 0
            tables += block["type"] == "table"
        if markdown > 12000:
            self._say("markdown blocks must be less than 12001 characters in all", at)
        if tables > 1:
            self._say("only_one_table_allowed", at)

    def _say(self, error: str, at: str) -> None:
        self.errors.append(f"{error} [json-pointer:{at}]")

    def _block(self, block: dict, at: str) -> None:
        kind = block["type"]
        for key in sorted(set(block) - words(KEYS[kind]) - {"type", "block_id"}):
            self._say(f"invalid additional property: {key}", at)
        given = block.get("block_id")
        if given is not None:
            if not isinstance(given, str) or len(given) > 255:
                self._say("must be less than 256 characters", f"{at}/block_id")
            elif given and given in self._block_ids:
                self._say(f"`block_id` already exists: {given}", f"{at}/block_id")
            self._block_ids.add(str(given))
        match kind:
            case "section":
                if not block.get("text") and not block.get("fields"):
                    self._say("missing required field: text", at)
                if "text" in block:
                    self._text(block["text"], f"{at}/text", 3000)
                for number, item in enumerate(self._list(block, "fields", at, 10) if "fields" in block else []):
                    self._text(item, f"{at}/fields/{number}", 2000)
                if "accessory" in block:
                    self._element(block["accessory"], f"{at}/accessory", set())
            case "header":
                self._text(block.get("text"), f"{at}/text", 150, plain=True)
            case "markdown":
                if not isinstance(block.get("text"), str) or not block["text"]:
                    self._say("missing required field: text", at)
                elif len(block["text"]) > 12000:
                    self._say("must be less than 12001 characters", f"{at}/text")
            case "context":
                for number, item in enumerate(self._list(block, "elements", at, 10)):
                    if isinstance(item, dict) and item.get("type") == "image":
                        self._image(item, f"{at}/elements/{number}")
                    else:
                        self._text(item, f"{at}/elements/{number}", 3000)
            case "actions":
                ids: set[str] = set()
                for number, item in enumerate(self._list(block, "elements", at, 25)):
                    self._element(item, f"{at}/elements/{number}", ids)
            case "context_actions":
                for number, item in enumerate(self._list(block, "elements", at, 5)):
                    self._context_action(item, f"{at}/elements/{number}")
            case "image":
                self._image(block, at)
            case "table":
                self._table(block, at)
            case "rich_text":
                for number, item in enumerate(self._list(block, "elements", at, None)):
                    if not isinstance(item, dict) or item.get("type") not in RICH:
                        self._say("unsupported type", f"{at}/elements/{number}/type")

    def _list(self, block: dict, key: str, at: str, most: int | None) -> list:
        items = block.get(key)
        if not isinstance(items, list) or not items:
            self._say(f"missing required field: {key}", at)
            return []
        if most and len(items) > most:
            self._say(f"no more than {most} items allowed", f"{at}/{key}")
        return items

    def _text(self, given: Any, at: str, most: int, *, plain: bool = False) -> None:
        if not isinstance(given, dict) or not isinstance(given.get("text"), str):
            self._say("missing required field: text", at)
            return
        kind = given.get("type")
        if kind not in ("plain_text", "mrkdwn") or (plain and kind != "plain_text"):
            self._say(f"unsupported type: {kind}", f"{at}/type")
        allowed = {"type", "text", "emoji"} if kind == "plain_text" else {"type", "text", "verbatim"}
        for key in sorted(set(given) - allowed):
            self._say(f"invalid additional property: {key}", at)
        if not given["text"]:
            self._say("must be more than 0 characters", f"{at}/text")
        if len(given["text"]) > most:
            self._say(f"must be less than {most + 1} characters", f"{at}/text")

    def _element(self, element: Any, at: str, ids: set[str]) -> None:
        if not isinstance(element, dict) or element.get("type") not in ELEMENTS | {"image"}:
            self._say("unsupported type", f"{at}/type")
            return
        if element["type"] == "image":
            self._image(element, at)
            return
        self._action_id(element, at, ids)
        if element["type"] != "button":
            return
        for key in sorted(set(element) - BUTTON):
            self._say(f"invalid additional property: {key}", at)
        self._text(element.get("text"), f"{at}/text", 75, plain=True)
        if "value" in element and (not isinstance(element["value"], str) or len(element["value"]) > 2000):
            self._say("must be less than 2001 characters", f"{at}/value")
        if len(element.get("url", "")) > 3000:
            self._say("must be less than 3001 characters", f"{at}/url")
        if element.get("style", "primary") not in ("primary", "danger"):
            self._say("invalid value", f"{at}/style")
        if "confirm" in element:
            for key, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
                self._text(element["confirm"].get(key), f"{at}/confirm/{key}", most)

    def _context_action(self, element: Any, at: str) -> None:
        if not isinstance(element, dict) or element.get("type") not in ("feedback_buttons", "icon_button"):
            self._say("unsupported type", f"{at}/type")
            return
        self._action_id(element, at, set())
        for key in ("positive_button", "negative_button") if element["type"] == "feedback_buttons" else ():
            button = element.get(key) or {}
            self._text(button.get("text"), f"{at}/{key}/text", 75, plain=True)
            if not isinstance(button.get("value"), str) or len(button["value"]) > 2000:
                self._say("missing required field: value", f"{at}/{key}")

    def _action_id(self, element: dict, at: str, ids: set[str]) -> None:
        given = element.get("action_id")
        if given is None:
            return
        if not isinstance(given, str) or not 1 <= len(given) <= 255:
            self._say("must be less than 256 characters", f"{at}/action_id")
        elif given in ids:
            self._say(f"`action_id` already exists: {given}", f"{at}/action_id")
        ids.add(str(given))

    def _image(self, image: dict, at: str) -> None:
        if not isinstance(image.get("alt_text"), str):
            self._say("missing required field: alt_text", at)
        elif len(image["alt_text"]) > 2000:
            self._say("must be less than 2001 characters", f"{at}/alt_text")
        if ("image_url" in image) == ("slack_file" in image):
            self._say("must provide one of image_url and slack_file", at)

    def _table(self, block: dict, at: str) -> None:
        rows = self._list(block, "rows", at, 100)
        if len(block.get("column_settings") or []) > 20:
            self._say("no more than 20 items allowed", f"{at}/column_settings")
        for number, row in enumerate(rows):
            if not isinstance(row, list) or not row:
                self._say("must be a list of cells", f"{at}/rows/{number}")
                continue
            if len(row) > 20:
                self._say("no more than 20 items allowed", f"{at}/rows/{number}")
            for place, cell in enumerate(row):
                if not isinstance(cell, dict) or cell.get("type") not in ("raw_text", "raw_number", "rich_text"):
                    self._say("unsupported type", f"{at}/rows/{number}/{place}")
                elif cell["type"] != "rich_text" and not cell.get("text"):
                    self._say("must be more than 0 characters", f"{at}/rows/{number}/{place}/text")


RICH = words("rich_text_section rich_text_list rich_text_preformatted rich_text_quote")


def check_blocks(blocks: list, *, view: bool = False) -> None:
    """Refuses what the platform does not accept."""
    checked = Checked(view=view)
    checked.blocks(blocks, "/view/blocks" if view else "/blocks", 100 if view else 50)
    if checked.errors:
        messages = [f"[ERROR] {error}" for error in checked.errors]
        name = "invalid_arguments" if view else "invalid_blocks"
        raise Refused(name, errors=checked.errors, response_metadata={"messages": messages})


def read_blocks(blocks: list[dict], names: Names) -> Reading:
    """What a person reads of blocks, apart by empty lines."""
    reading = Reading()
    parts = []
    for block in blocks:
        part = _read(block, reading, names)
        if part:
            parts.append(part)
    reading.text = "\n\n".join(parts)
    return reading


def _read(block: dict, reading: Reading, names: Names) -> str:
    match block["type"]:
        case "markdown":
            reading.pings += wording.markdown_pings(block["text"])
            reading.links += wording.links(block["text"])
            return wording.read_markdown(block["text"], names)
        case "rich_text":
            return read_rich(block, reading, names)
        case "table":
            return "\n".join(" | ".join(_cell(cell, reading, names) for cell in row) for row in block["rows"])
        case "section":
            given = ([block["text"]] if "text" in block else []) + block.get("fields", [])
            reading.buttons += _buttons(block, [block.get("accessory", {})])
            return "\n".join(_text(item, reading, names) for item in given)
        case "header":
            return _text(block["text"], reading, names)
        case "context":
            return " ".join(_text(item, reading, names) for item in block["elements"] if item["type"] != "image")
        case "actions":
            reading.buttons += _buttons(block, block["elements"])
        case "context_actions":
            reading.buttons += _buttons(block, _thumbs(block))
        case "image":
            return block["alt_text"]
        case "divider":
            return "———"
        case "alert":
            return _text(block["text"], reading, names) if isinstance(block.get("text"), dict) else ""
        case "task_card":
            return f"{block.get('title', '')} ({block.get('status', 'pending')})"
    return ""


def _thumbs(block: dict) -> Iterator[dict]:
    for element in block["elements"]:
        for key in ("positive_button", "negative_button"):
            if key in element:
                yield element[key] | {"type": element["type"], "action_id": element.get("action_id", "")}


def _buttons(block: dict, elements: Iterable[dict]) -> list[dict]:
    kinds = ("button", "feedback_buttons")
    return [e | {"block_id": block.get("block_id", "")} for e in elements if e.get("type") in kinds]


def _text(given: dict, reading: Reading, names: Names) -> str:
    if given["type"] == "plain_text":
        return given["text"]
    reading.pings += wording.pings(given["text"])
    reading.links += wording.links(given["text"])
    return wording.read_mrkdwn(given["text"], names)


def _cell(cell: dict, reading: Reading, names: Names) -> str:
    if cell["type"] == "rich_text":
        return read_rich(cell, reading, names)
    return cell["text"]


def read_rich(block: dict, reading: Reading, names: Names) -> str:
    """What a person reads of rich text."""
    parts = []
    for element in block.get("elements", []):
        if element["type"] == "rich_text_list":
            marks = (f"{n}. " if element.get("style") == "ordered" else "• " for n in range(1, 1000))
            indent = "  " * element.get("indent", 0)
            items = (_pieces(item, reading, names) for item in element["elements"])
            parts.append("\n".join(f"{indent}{mark}{item}" for item, mark in zip(items, marks, strict=False)))
        else:
            parts.append(_pieces(element, reading, names).strip("\n"))
    return "\n".join(parts)


def _pieces(section: dict, reading: Reading, names: Names) -> str:
    text = ""
    for piece in section.get("elements", []):
        match piece["type"]:
            case "text":
                text += piece["text"]
            case "link":
                reading.links.append(piece["url"])
                text += piece.get("text") or piece["url"]
            case "user":
                reading.pings.append(piece["user_id"])
                text += f"@{names(piece['user_id'])}"
            case "usergroup":
                reading.pings.append(piece["usergroup_id"])
                text += f"@{piece['usergroup_id']}"
            case "broadcast":
                reading.pings.append(piece["range"])
                text += f"@{piece['range']}"
            case "channel":
                text += f"#{names(piece['channel_id'])}"
            case "emoji":
                text += f":{piece['name']}:"
    return text
