"""Events of Discord become values of core, or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chat.discord import events, inbound
from adapters.chat.discord.events import Edit, Interaction, Post, Removal
from adapters.chat.discord.inbound import Me, Spot
from core.messages import Account, ChatRef, Deleted, Edited, Message, Pressed

ME = Me("42", "Pieria")
ADA = {"id": "1001", "username": "ada", "global_name": "Ada"}
BOT = {"id": "42", "username": "pieria", "bot": True}
DM = Spot("50")
ROOM = Spot("60", guild="7", role="77")


def post(**fields: object) -> Post:
    given = {"id": "100", "channel_id": "50", "author": ADA, "content": "hi", **fields}
    return msgspec.convert(given, Post)


def read(spot: Spot = DM, **fields: object) -> Message | None:
    return inbound.message(post(channel_id=spot.channel, **fields), ME, spot)


def interaction(**fields: object) -> Interaction:
    given = {"id": "200", "type": 2, "token": "T", "channel_id": "50", "user": ADA, "data": {"name": "help"}, **fields}
    return msgspec.convert(given, Interaction)


def test_a_direct_message_carries_who_where_and_what() -> None:
    assert read() == Message(
        event="50:100",
        chat=ChatRef("discord", "42", "50", private=True),
        sender=Account("discord", "42", "1001"),
        text="hi",
        name="Ada",
        message_id="100",
    )


def test_a_code_behind_start_is_kept_apart_in_private() -> None:
    assert (read(content="/start ab12-CD").text, read(content="/start ab12-CD").start) == ("/start", "ab12-CD")
    assert read(content="/start with words").start == ""
    assert read(ROOM, content="!start ab12").start == ""


def test_in_a_server_only_what_is_meant_for_us_is_addressed() -> None:
    assert not read(ROOM).addressed
    assert read(ROOM, content="<@42> hi", mentions=[BOT]).addressed
    assert read(ROOM, content="<@42> hi").addressed
    assert not read(ROOM, content="`<@42>` hi <@1002>", mentions=[{"id": "1002"}]).addressed
    assert read(ROOM, content="<@&77> hi", mention_roles=["77"]).addressed
    assert read(ROOM, content="!help").addressed
    assert not read(ROOM, content="!important").addressed
    assert not read(ROOM, content="@everyone", mention_everyone=True).addressed
    assert read(ROOM, type=19, referenced_message={"id": "1", "author": BOT}).addressed
    assert not read(ROOM, type=19, referenced_message={"id": "1", "author": ADA}).addressed
    assert read(Spot("61", guild="7", parent="60", ours=True)).addressed


def test_a_thread_belongs_to_its_channel() -> None:
    where = read(Spot("61", guild="7", parent="60", ours=True)).chat
    assert where == ChatRef("discord", "42", "60", "61", private=False)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<@42> what is this?", "what is this?"),
        ("hey <@!42>, what is this?", "hey, what is this?"),
        ("what is this, <@42>?", "what is this,?"),
        ("<@42>: hi", "hi"),
        ("<@42>", "@Pieria"),
        ("<@42> ask <@1002> in <#60> or <@&9>", "ask @Bobby in #general or @mods"),
        ("<@42> <:wave:12> <a:run:13> </help:9>", ":wave: :run: /help"),
        ("<@42> a < b > c <@999>", "a < b > c <@999>"),
    ],
)
def test_names_read_as_people_see_them_and_ours_is_taken_out(content: str, text: str) -> None:
    bob = {"id": "1002", "username": "bob", "member": {"nick": "Bobby"}}
    spot = Spot("60", guild="7", names={"60": "general", "9": "mods"})
    assert read(spot, content=content, mentions=[BOT, bob]).text == text


@pytest.mark.parametrize(
    "fields",
    [
        {"author": BOT},
        {"author": {"id": "5", "bot": True}},
        {"webhook_id": "9"},
        {"type": 7},
        {"type": 18},
        {"type": 21},
        {"content": ""},
        {"author": None},
        {"id": "x"},
    ],
)
def test_bots_webhooks_notices_and_empty_messages_are_none_of_ours(fields: dict) -> None:
    assert read(**fields) is None


def test_an_answer_quotes_what_it_answers() -> None:
    answered = {"id": "99", "author": BOT, "content": "", "components": [{"type": 10, "content": "long answer"}]}
    told = read(type=19, message_reference={"message_id": "99"}, referenced_message=answered)
    assert (told.reply_to, told.quoted) == ("99", "long answer")


def test_a_forwarded_message_is_quoted_and_answers_nothing() -> None:
    snapshots = [{"message": {"content": "from <@1002>", "mentions": [{"id": "1002", "username": "bob"}]}}]
    told = read(content="", message_reference={"message_id": "9", "type": 1}, message_snapshots=snapshots)
    assert (told.text, told.quoted, told.reply_to) == ("", "from @bob", "")


def test_stickers_and_polls_are_told_in_words() -> None:
    assert read(content="", sticker_items=[{"name": "Wave"}]).text == "(sticker: Wave)"
    poll = {"question": {"text": "Tea?"}, "answers": [{"poll_media": {"text": "yes"}}, {"poll_media": {"text": "no"}}]}
    assert read(content="", poll=poll).text == "Poll: Tea?\n- yes\n- no"


def test_files_are_handles_without_their_addresses() -> None:
    files = [
        {"id": "9", "filename": "a.png", "content_type": "image/png", "size": 5, "url": "https://cdn/secret"},
        {
            "id": "10",
            "filename": "v.ogg",
            "content_type": "audio/ogg; codecs=opus",
            "duration_secs": 2.5,
            "waveform": "A",
        },
        {"id": "11", "filename": "song.mp3", "content_type": "audio/mpeg"},
        {"id": "12", "filename": "x"},
        {"id": "13", "filename": "p.svg", "content_type": "image/svg+xml"},
    ]
    told = read(content="", attachments=files).attachments
    assert [one.kind for one in told] == ["image", "voice", "audio", "document", "document"]
    assert told[0].handle == "50:100:9"
    assert (told[1].mime, told[1].seconds) == ("audio/ogg", 2.5)
    assert "secret" not in repr(told)


def test_an_edit_counts_only_when_somebody_made_it() -> None:
    fields = {"id": "100", "channel_id": "50", "author": ADA, "content": "the question"}
    assert inbound.edited(msgspec.convert(fields, Edit), ME, DM) is None
    changed = inbound.edited(msgspec.convert({**fields, "edited_timestamp": "2026-01-01"}, Edit), ME, DM)
    assert isinstance(changed, Edited)
    assert (changed.message.event, changed.message.text) == ("50:100", "the question")


def test_many_deletions_come_one_by_one() -> None:
    gone = inbound.deleted(Removal("50", ids=("1", "2")), ME, DM)
    assert [(type(one), one.original) for one in gone] == [(Deleted, "50:1"), (Deleted, "50:2")]


def test_a_native_command_is_the_line_that_somebody_would_type() -> None:
    data = {"name": "model", "options": [{"name": "name", "type": 3, "value": "openai:gpt"}]}
    told = inbound.command(interaction(data=data, locale="de"), ME, DM)
    assert (told.text, told.event, told.addressed, told.language) == ("/model openai:gpt", "i:200", True, "de")


@pytest.mark.parametrize("action", ["rm -rf", "server:let-in", "/Stop", "", "/stop\n/new", "/a" * 40])
def test_only_what_looks_like_a_command_is_an_action(action: str) -> None:
    assert inbound.pressed(interaction(type=3, data={"custom_id": action}), ME, DM) is None
    assert isinstance(inbound.pressed(interaction(type=3, data={"custom_id": "/retry now"}), ME, DM), Pressed)


def test_an_interaction_tells_where_it_happened_and_who_rules_there() -> None:
    channel = {"id": "61", "type": 11, "parent_id": "60"}
    member = {"user": ADA, "permissions": str(1 << 5)}
    spot = inbound.spot_of(interaction(channel_id="61", channel=channel, guild_id="7", user=None, member=member))
    assert (spot.parent, spot.channel, spot.guild, spot.admin) == ("60", "61", "7", True)
    assert inbound.spot_of(interaction(channel={"id": "50", "type": 3})) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["42", "50", "<@42>", "/help"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Post.__struct_fields__, *Interaction.__struct_fields__]), inner, max_size=8)
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(events.KINDS)), JSON)
def test_whatever_can_be_decoded_can_be_read(kind: str, body: object) -> None:
    try:
        event = events.read(msgspec.json.encode({"op": 0, "t": kind, "d": body}))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    match event:
        case Edit():
            inbound.edited(event, ME, ROOM)
        case Post():
            inbound.message(event, ME, ROOM)
        case Removal():
            inbound.deleted(event, ME, ROOM)
        case Interaction():
            spot = inbound.spot_of(event)
            if spot:
                inbound.command(event, ME, spot)
                inbound.pressed(event, ME, spot)
