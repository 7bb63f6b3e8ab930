"""Slack's payloads become values of core, or nothing; what people wrote reads as they saw it."""

import msgspec
import pytest

from adapters.chat.slack import events
from adapters.chat.slack.inbound import Me, ours, people, read
from core.messages import Attachment, ChatRef, Deleted, Edited, Joined, Message, Pressed

ME = Me("T1", "UBOT", "B1", "A1")
NAMES = {"U1": "Ada", "U2": "Bob"}
COMMANDS = frozenset({"help", "new", "stop", "whoami"})


def payload(value):
    return events.payload(msgspec.json.encode(value))


def event(**fields):
    return payload({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": fields})


def message(**fields):
    base = {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "ts": "10.1", "team": "T1"}
    return event(**(base | fields))


def heard(given, im=""):
    return read(given, ME, NAMES, COMMANDS, im)


def said(text="", **fields):
    return heard(message(text=text, **fields)).text


def section(*elements):
    return [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}]


def test_a_direct_message_begins_a_thread_of_its_own():
    assert heard(message(text="hi")) == Message(
        event="D1:10.1",
        chat=ChatRef("slack", "T1", "D1", "10.1", private=True),
        sender=heard(message(text="hi")).sender,
        text="hi",
        name="Ada",
        message_id="10.1",
    )


def test_a_message_in_a_thread_stays_there():
    assert heard(message(text="hi", thread_ts="9.9")).chat.thread == "9.9"


def test_a_mention_and_the_message_that_it_stands_in_are_one_event():
    fields = {"channel": "C1", "text": "<@UBOT> hi", "user": "U1", "ts": "10.1"}
    mention = heard(event(type="app_mention", **fields))
    plain = heard(event(type="message", channel_type="channel", **fields))
    assert mention == plain
    assert mention.addressed
    assert mention.text == "hi"
    assert not mention.chat.private


@pytest.mark.parametrize("kind", ["channel", "group", "mpim"])
def test_a_message_that_mentions_nobody_is_not_addressed(kind):
    told = heard(message(text="hi", channel="C1", channel_type=kind))
    assert not told.addressed
    assert not told.chat.private


def test_an_answer_to_what_we_said_is_addressed():
    told = heard(message(text="thanks", channel="C1", channel_type="channel", thread_ts="9.9", parent_user_id="UBOT"))
    assert told.addressed


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&amp;lt;", "&lt;"),
        ("ask <@U2> or <@U9|zoe>", "ask @Bob or @zoe"),
        ("see <#C2|general> and <#C3>", "see #general and #C3"),
        ("<https://a.example/x?y=1&amp;z=2>", "https://a.example/x?y=1&z=2"),
        ("<https://a.example|here>", "here (https://a.example)"),
        ("<http://a.example|a.example>", "a.example"),
        ("<mailto:a@b.c|a@b.c>", "a@b.c"),
        ("<!here> and <!channel> and <!subteam^S1|@team>", "@here and @channel and @team"),
        ("<!date^1392734382^{date}|a day>", "a day"),
        ("tell <@UBOT> that", "tell that"),
        ("<@UBOT>, hello", "hello"),
        ("<@UBOT>: !new", "!new"),
        ("hi <@UBOT|pieria>", "hi"),
    ],
)
def test_escaped_text_reads_as_it_was_seen(written, reads):
    assert said(written) == reads


def test_rich_text_is_preferred_and_reads_as_its_words():
    blocks = section(
        {"type": "user", "user_id": "UBOT"},
        {"type": "text", "text": " is "},
        {"type": "text", "text": "x < y", "style": {"code": True}},
        {"type": "text", "text": ", "},
        {"type": "user", "user_id": "U2"},
        {"type": "text", "text": "? "},
        {"type": "emoji", "name": "wave", "unicode": "1f44b-1f3fd"},
        {"type": "emoji", "name": "ours"},
        {"type": "text", "text": " "},
        {"type": "link", "url": "https://a.example", "text": "this"},
        {"type": "broadcast", "range": "here"},
    )
    assert said("something else", blocks=blocks) == "is `x < y`, @Bob? 👋🏽:ours: this (https://a.example)@here"


def test_lists_listings_and_quotes_keep_their_shape():
    line = lambda text: {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}  # noqa: E731
    blocks = [
        {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_list", "style": "ordered", "offset": 2, "elements": [line("c"), line("d")]},
                {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": [line("e")]},
                {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x = 1\ny = 2"}]},
                {"type": "rich_text_quote", "elements": [{"type": "text", "text": "so\nit is"}]},
            ],
        }
    ]
    assert said("", blocks=blocks) == "3. c\n4. d\n  - e\n```\nx = 1\ny = 2\n```\n> so\n> it is"


def test_files_come_as_handles_without_an_address():
    files = [
        {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 5, "url_private_download": "https://files/x"},
        {"id": "F2", "mimetype": "audio/mp4", "subtype": "slack_audio", "duration_ms": 2500, "size": 7},
        {"id": "F3", "name": "b.pdf", "mimetype": "application/pdf"},
        {"id": "F4", "mimetype": "video/mp4"},
        {"id": "F5", "mimetype": "audio/mpeg"},
    ]
    assert heard(message(subtype="file_share", text="look", files=files)).attachments == (
        Attachment("image", "F1", "image/png", "a.png", 5),
        Attachment("voice", "F2", "audio/mp4", "", 7, 2.5),
        Attachment("document", "F3", "application/pdf", "b.pdf"),
        Attachment("video", "F4", "video/mp4"),
        Attachment("audio", "F5", "audio/mpeg"),
    )


def test_a_file_of_which_nothing_is_told_costs_no_word():
    files = [{"name": None, "size": None, "duration_ms": None}]
    told = heard(message(subtype="file_share", text="look", files=files))
    assert (told.text, told.attachments) == ("look", (Attachment("document", ""),))


def test_a_shared_message_is_a_quotation_and_an_unfurled_link_is_none():
    attachments = [{"is_share": True, "text": "what &lt;they&gt; said"}, {"from_url": "https://a", "text": "a page"}]
    told = heard(message(text="", attachments=attachments))
    assert told.quoted == "what <they> said"
    assert told.text == ""


def test_a_reply_that_is_broadcast_is_a_message():
    assert said("hi", subtype="thread_broadcast", thread_ts="9.9") == "hi"


@pytest.mark.parametrize(
    "fields",
    [
        {"bot_id": "B9"},
        {"user": "UBOT"},
        {"user": None},
        {"user": "USLACKBOT"},
        {"subtype": "bot_message"},
        {"subtype": "channel_join"},
        {"subtype": "assistant_app_thread"},
        {"ts": None},
        {"text": None},
        {"text": "  "},
    ],
)
def test_what_no_person_said_is_nothing(fields):
    assert heard(message(**({"text": "hi"} | fields))) is None


def changed(before, now, **fields):
    inner = {"type": "message", "user": "U1", "ts": "10.1"}
    return message(
        subtype="message_changed",
        user=None,
        ts="11.0",
        event_ts="11.0",
        message=inner | {"text": now} | fields,
        previous_message=inner | {"text": before},
    )


def test_an_edit_tells_how_the_message_reads_now():
    told = heard(changed("teh", "the"))
    assert isinstance(told, Edited)
    assert told.event == "D1:10.1:e:11.0"
    assert told.message == heard(message(text="the"))


def test_an_unfurled_link_and_our_own_edits_are_no_edits():
    assert heard(changed("same", "same", attachments=[{"from_url": "https://a"}])) is None
    assert heard(changed("a", "b", user="UBOT")) is None
    assert heard(changed("a", "b", bot_id="B1")) is None


def test_a_deleted_message_names_its_event():
    told = heard(message(subtype="message_deleted", user=None, deleted_ts="10.1", previous_message={"user": "U1"}))
    assert told == Deleted("D1:10.1:d", ChatRef("slack", "T1", "D1", "10.1"), "D1:10.1")


def test_a_root_that_was_deleted_is_a_tombstone():
    told = heard(changed("x", "This message was deleted.", subtype="tombstone", user="USLACKBOT", thread_ts="10.1"))
    assert isinstance(told, Deleted)
    assert told.original == "D1:10.1"


def test_our_own_deleted_message_is_nothing():
    gone = message(subtype="message_deleted", user=None, deleted_ts="10.1", previous_message={"bot_id": "B1"})
    assert heard(gone) is None


def test_we_joined_a_channel_and_others_do_not_matter():
    told = heard(event(type="member_joined_channel", user="UBOT", channel="C1", inviter="U1", event_ts="5.1"))
    assert isinstance(told, Joined)
    assert told.chat == ChatRef("slack", "T1", "C1", private=False)
    assert (told.sender.user, told.name) == ("U1", "Ada")
    assert heard(event(type="member_joined_channel", user="U2", channel="C1", event_ts="5.1")) is None


def test_slacks_own_stop_button_is_a_stop():
    told = heard(event(type="agent_session_stopped", user="U1", channel="D1", thread_ts="9.9", event_ts="5.1"))
    assert told == Pressed("D1:stop:5.1", ChatRef("slack", "T1", "D1", "9.9"), told.sender, "/stop", "Ada")


def slash(text, **fields):
    base = {"command": "/pieria", "user_id": "U1", "user_name": "ada", "channel_id": "C1", "team_id": "T1"}
    return payload(base | {"trigger_id": "1.2", "text": text} | fields)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("", "/help"),
        ("help", "/help"),
        ("HELP me", "/HELP me"),
        ("new", "/new"),
        ("/stop", "/stop"),
        ("!stop", "!stop"),
        ("what is 2 &lt; 3?", "what is 2 < 3?"),
        ("helpful tips", "helpful tips"),
        ("ask <@U2|bob>", "ask @bob"),
    ],
)
def test_a_slash_command_is_a_command_or_a_question(typed, means):
    told = heard(slash(typed))
    assert told.text == means
    assert told.addressed


def test_a_slash_command_has_a_lane_of_its_giver():
    told = heard(slash("help"))
    assert told.chat == ChatRef("slack", "T1", "C1", "@U1", private=True)
    assert told.event == told.message_id == "1.2"


def test_a_slash_command_in_our_direct_message_is_answered_there():
    assert heard(slash("help", channel_id="D1"), im="D1").chat == ChatRef("slack", "T1", "D1")


def press(value="/retry", **fields):
    base = {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1", "name": "ada"}, "trigger_id": "1.3"}
    at = {"type": "message", "message_ts": "12.1", "channel_id": "C1", "thread_ts": "10.1"}
    return payload(base | {"channel": {"id": "C1"}, "container": at, "actions": [{"value": value}]} | fields)


def test_a_pressed_button_is_a_command_in_its_thread():
    told = heard(press())
    assert told == Pressed("1.3", ChatRef("slack", "T1", "C1", "10.1", private=False), told.sender, "/retry", "ada")


def test_a_button_under_a_message_outside_threads_begins_one():
    told = heard(press(container={"type": "message", "message_ts": "12.1", "channel_id": "D1"}, channel={"id": "D1"}))
    assert told.chat == ChatRef("slack", "T1", "D1", "12.1", private=True)


def test_a_button_under_a_whisper_belongs_to_whoever_sees_it():
    told = heard(press(container={"type": "message", "message_ts": "1", "channel_id": "C1", "is_ephemeral": True}))
    assert told.chat == ChatRef("slack", "T1", "C1", "@U1", private=True)


def test_a_button_of_the_home_tab_is_answered_in_the_direct_message():
    told = heard(press("/help", container={"type": "view"}, channel=None), im="D1")
    assert told.chat == ChatRef("slack", "T1", "D1", "")


@pytest.mark.parametrize("value", [None, "", "no command", "/UPPER", "/stop\nrm -rf", "!stop"])
def test_a_value_that_is_no_command_line_of_ours_is_nothing(value):
    assert heard(press(value)) is None


@pytest.mark.parametrize(
    ("fields", "mine"),
    [
        ({"team_id": "T1"}, True),
        ({"team_id": "T2"}, False),
        ({"team_id": "T2", "authorizations": [{"team_id": "T1"}]}, True),
        ({"team": {"id": "T2"}}, False),
        ({"team_id": "T1", "api_app_id": "A2"}, False),
        ({"team_id": "T1", "api_app_id": "A1"}, True),
        ({}, True),
    ],
)
def test_another_workspace_or_app_is_not_ours(fields, mine):
    assert ours(payload(fields), ME) is mine


def test_everybody_named_only_by_id_is_known_before_reading():
    blocks = section({"type": "user", "user_id": "U3"})
    assert people(message(text="<@U2> and <@U4|zoe>", blocks=blocks)) == {"U1", "U2", "U3"}


@pytest.mark.parametrize("body", [b'{"event":{"type":"message","text":5}}', b'{"event":[]}', b"[]", b"5", b"null"])
def test_a_shape_that_nobody_understands_is_none(body):
    assert events.payload(body) is None


def test_text_that_is_no_text_keeps_the_rest():
    half = events.payload(b'{"event":{"type":"message","text":"a\\ud800b","channel":"D1","user":"U1","ts":"1"}}')
    assert heard(half).text == "a?b"
