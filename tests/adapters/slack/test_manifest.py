"""deploy/slack-manifest.yaml asks for what the code uses, no more and no less, and Slack takes it."""

from pathlib import Path

from adapters.chat.slack.checks import SCOPES
from adapters.chat.slack.home import PROMPTS
from adapters.chat.slack.inbound import COMMAND, EVENTS

MANIFEST = Path(__file__).parents[3] / "deploy" / "slack-manifest.yaml"


def parsed(text):
    """The few kinds of YAML that the manifest needs: mappings, lists, and words on one line."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines() if line.strip()]
    lines = [(indent, line) for indent, line in lines if not line.startswith("#")]
    return block(lines, 0, 0)[0]


def block(lines, at, indent):
    made = [] if lines[at][1].startswith("- ") else {}
    while at < len(lines) and lines[at][0] == indent:
        line = lines[at][1]
        if isinstance(made, list):
            item = line.removeprefix("- ")
            if ": " in item or item.endswith(":"):
                lines[at] = (indent + 2, item)
                value, at = block(lines, at, indent + 2)
                made.append(value)
            else:
                made.append(word(item))
                at += 1
            continue
        key, _, value = line.partition(":")
        assert key not in made, f"{key} stands twice"
        if value.strip():
            made[key] = word(value.strip())
            at += 1
        else:
            made[key], at = block(lines, at + 1, lines[at + 1][0])
    assert at >= len(lines) or lines[at][0] < indent, f"a line that belongs nowhere: {lines[at]}"
    return made, at


def word(text):
    if text.startswith('"'):
        assert text.endswith('"')
        return text[1:-1]
    assert not set(text) & set("{}[]#&*!|>%@`\"'"), f"needs quotes: {text}"
    assert ": " not in text
    return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)


def manifest():
    return parsed(MANIFEST.read_text())


def test_it_asks_for_the_scopes_that_the_code_names():
    assert manifest()["oauth_config"]["scopes"]["bot"] == sorted(SCOPES)


def test_it_subscribes_to_the_events_that_the_code_reads():
    assert manifest()["settings"]["event_subscriptions"]["bot_events"] == sorted(EVENTS)


def test_its_one_command_is_ours_and_tells_who_is_meant():
    (command,) = manifest()["features"]["slash_commands"]
    assert command["command"] == COMMAND
    assert command["should_escape"] is True
    assert len(command["description"]) <= 2000


def test_it_is_an_agent_over_sockets_with_a_home_to_write_in():
    told = manifest()
    assert told["settings"]["socket_mode_enabled"] is True
    assert told["settings"]["interactivity"] == {"is_enabled": True}
    home = told["features"]["app_home"]
    assert home == {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False}
    agent = told["features"]["agent_view"]
    assert len(agent["agent_description"]) <= 300
    assert all((prompt["title"], prompt["message"]) in PROMPTS for prompt in agent["suggested_prompts"])


def test_its_names_fit():
    told = manifest()
    assert len(told["display_information"]["name"]) <= 35
    assert len(told["display_information"]["description"]) <= 140
    assert len(told["features"]["bot_user"]["display_name"]) <= 80
