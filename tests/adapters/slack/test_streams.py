"""A reply while it grows in Slack: streams that only gain text, ended as the final, recovered when they die."""

import msgspec
import pytest

from core.errors import ChatBusy, ChatUnreachable
from core.messages import Button, Reply
from tests.adapters.slack.bench import TIMES, adapter, partial, ref, say
from tests.contracts.places.slack import read_message


def read(message):
    return read_message(message.blocks, message.raw)


def streamed(server):
    """What was put into streams, piece by piece."""
    calls = [call for call in server.calls if call.method in {"chat.startStream", "chat.appendStream"} and call.ok]
    return [call.params["markdown_text"] for call in calls]


async def grow(slack, chat, root, *texts, turn="t"):
    """Show the texts one after the other, without waiting for the pace of streams."""
    shown = ""
    for text in texts:
        for growing in slack._streams._growing.values():
            growing.at = 0.0
        shown = await slack.preview(partial(chat, text, thread=root.ts, turn=turn), shown)
    return shown


async def test_a_stream_gains_only_what_is_settled_and_ends_as_the_final(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "One **bo", "One **bold** and", "One **bold** and `code")
        assert streamed(server) == ["One", " **bold** and"]
        (growing,) = dm.streaming
        assert growing.ts == shown
        ids = await say(slack, dm, "One **bold** and `code`.", thread=root.ts, edit=shown)
    assert ids == [shown]
    (final,) = dm.answers
    assert read(final) == "One bold and code."
    assert final.metadata == {"event_type": "pieria_turn", "event_payload": {"turn": "t:0"}}
    assert not server.called("chat.update")


async def test_nothing_is_started_before_anything_is_settled(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        assert await grow(slack, dm, root, "", "**", "[half](http") == ""
    assert not server.called("chat.startStream")


async def test_in_a_channel_the_stream_is_for_whoever_asked(server, notes, channel, ada):
    async with adapter(server, notes) as slack:
        root = await channel.say(ada, "go", mention=True)
        await server.settled()
        await grow(slack, channel, root, "Some text")
    (call,) = server.called("chat.startStream")
    assert (call.params["recipient_user_id"], call.params["recipient_team_id"]) == ("U1", "T1")


async def test_buttons_come_with_the_end_of_the_stream(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some text")
        await say(slack, dm, "Some text.", thread=root.ts, edit=shown, buttons=(Button("Try again", "/retry"),))
    (final,) = dm.answers
    assert [button["value"] for button in final.buttons] == ["/retry"]
    assert read(final) == "Some text."


async def test_a_final_that_reads_differently_replaces_what_was_streamed(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Something else")
        assert await say(slack, dm, "The real answer", thread=root.ts, edit=shown) == [shown]
    assert [read(message) for message in dm.answers] == ["The real answer"]
    assert dm.answers[0].metadata["event_payload"] == {"turn": "t:0"}


async def test_a_table_is_shown_by_the_final_alone(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    said = "Before\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nAfter"
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, said[:20], said)
        assert streamed(server) == ["Before"]
        await say(slack, dm, said, thread=root.ts, edit=shown)
    (final,) = dm.answers
    assert [block["type"] for block in final.blocks] == ["markdown", "table", "markdown"]


async def test_a_long_reply_ends_its_stream_with_its_first_part(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    said = "\n\n".join(f"Paragraph {number} " + "and words " * 60 for number in range(40))
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, said[:900], said[:5_000], said)
        ids = await say(slack, dm, said, thread=root.ts, edit=shown)
    assert ids[0] == shown
    assert len(ids) == 3
    assert "\n\n".join(read(message) for message in dm.answers).split() == said.split()
    assert not server.called("chat.update")


async def test_a_stream_that_slack_ended_is_finished_by_an_edit(server, notes, dm, ada):
    server.stream_seconds = 0.0
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some", "Some text that", "Some text that goes on")
        assert server.called("chat.update")
        await say(slack, dm, "Some text that goes on.", thread=root.ts, edit=shown)
    assert [read(message) for message in dm.answers] == ["Some text that goes on."]
    assert not dm.streaming


async def test_an_old_stream_is_ended_in_time(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes, times=msgspec.structs.replace(TIMES, stream=-1.0)) as slack:
        shown = await grow(slack, dm, root, "Some", "Some text", "Some text that")
        assert len(server.called("chat.stopStream")) == 1
        assert read(dm.answers[0]) == "Some text that"
        await say(slack, dm, "Some text that ends.", thread=root.ts, edit=shown)
    assert [read(message) for message in dm.answers] == ["Some text that ends."]


async def test_after_the_person_stopped_it_nothing_is_added_before_the_final(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some text")
        await dm.stop(ada)
        await grow(slack, dm, root, "Some text that goes", "Some text that goes on")
        assert not server.called("chat.update")
        await say(slack, dm, "Some text\n\n*(stopped)*", thread=root.ts, edit=shown)
    assert [read(message) for message in dm.answers] == ["Some text\n\n(stopped)"]


async def test_a_stream_of_a_program_that_died_is_ended_by_the_next(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as first:
        shown = await grow(first, dm, root, "Some text")
    async with adapter(server, notes) as second:
        assert await say(second, dm, "The answer", thread=root.ts, edit=shown) == [shown]
    assert [read(message) for message in dm.answers] == ["The answer"]
    assert not dm.streaming
    assert dm.sessions == {root.ts: "active"}


async def test_a_message_that_was_deleted_meanwhile_is_sent_anew(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some text")
        dm.remove(dm.by_ts[shown])
        (sent,) = await say(slack, dm, "Some text.", thread=root.ts, edit=shown)
    assert sent != shown
    assert [read(message) for message in dm.answers] == ["Some text."]


async def test_a_closed_edit_window_leaves_one_message(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Something else")
        server.edit_seconds = 0.0
        await say(slack, dm, "The answer", thread=root.ts, edit=shown)
    assert [read(message) for message in dm.answers] == ["The answer"]


async def test_a_start_whose_answer_got_lost_is_found_again(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        server.fail("chat.startStream", drop="after")
        with pytest.raises(ChatUnreachable):
            await grow(slack, dm, root, "Some text")
        assert await grow(slack, dm, root, "Some text that goes on") == ""
        await say(slack, dm, "Some text.", thread=root.ts)
    assert [read(message) for message in dm.answers] == ["Some text."]
    assert not dm.streaming


async def test_a_piece_whose_fate_is_unknown_is_not_sent_twice(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some text")
        server.fail("chat.appendStream", drop="after")
        with pytest.raises(ChatUnreachable):
            await grow(slack, dm, root, "Some text that goes on")
        await say(slack, dm, "Some text that goes on.", thread=root.ts, edit=shown)
    assert [read(message) for message in dm.answers] == ["Some text that goes on."]


async def test_a_busy_slack_is_told(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        server.fail("chat.startStream", status=429, retry_after=3)
        with pytest.raises(ChatBusy) as caught:
            await grow(slack, dm, root, "Some text")
    assert caught.value.retry_after == 3


async def test_streams_stay_within_the_workspaces_limits(server, notes, dm, ada):
    async with adapter(server, notes) as slack:
        for number in range(40):
            root = await dm.say(ada, "go")
            await grow(slack, dm, root, "Some", "Some text", "Some text that", turn=f"t{number}")
    assert server.flooded == 0
    assert 5 <= len(server.called("chat.startStream")) <= 18


async def test_a_quick_model_appends_no_more_than_once_a_second(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = ""
        for number in range(20):
            shown = await slack.preview(partial(dm, "word " * (number + 1), thread=root.ts), shown)
    assert len(server.called("chat.startStream")) == 1
    assert not server.called("chat.appendStream")


@pytest.mark.parametrize("word", ["unknown_method", "not_allowed", "missing_scope", "channel_type_not_supported"])
async def test_without_streams_the_message_is_edited(server, notes, dm, ada, word):
    server.fail("chat.startStream", error=word, times=9)
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, dm, root, "Some **bo", "Some **bold** text")
        assert [state.text for state in dm.answers[0].edits] == ["Some bo", "Some bold text"]
        assert await say(slack, dm, "Some **bold** text.", thread=root.ts, edit=shown) == [shown]
        await grow(slack, dm, root, "Another", turn="u")
    assert read(dm.answers[0]) == "Some bold text."
    assert len(server.called("chat.startStream")) == 1


async def test_who_is_not_in_the_channel_is_no_reason_to_give_up_streams(server, notes, dm, channel, ada):
    root = await channel.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await grow(slack, channel, root, "Some text")  # nobody is known to have asked
        assert read(channel.answers[0]) == "Some text"
        asked = await channel.say(ada, "go", mention=True)
        await server.settled()
        await grow(slack, channel, asked, "Some text", turn="u")
    assert shown
    assert len(channel.streaming) == 1


async def test_edits_say_what_is_done_meanwhile_and_keep_their_pace(server, notes, dm, ada):
    server.fail("chat.startStream", error="unknown_method")
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        shown = await slack.preview(partial(dm, "Some", thread=root.ts, doing="calculating"), "")
        assert read(dm.answers[0]) == "Some\n\ncalculating …"
        for number in range(5):
            await slack.preview(partial(dm, "word " * number, thread=root.ts), shown)
    assert not server.called("chat.update")


async def test_a_session_is_at_work_until_the_answer_is_there_and_is_named_by_its_question(server, notes, dm, ada):
    async with adapter(server, notes) as slack:
        root = await dm.say(ada, "How do tides\nwork?")
        await server.settled()
        await slack.typing(partial(dm, "", thread=root.ts).chat)
        assert dm.sessions == {root.ts: "processing"}
        shown = await grow(slack, dm, root, "They")
        await say(slack, dm, "They rise.", thread=root.ts, edit=shown)
    assert dm.sessions == {root.ts: "active"}
    assert dm.titles == {root.ts: "How do tides work?"}


async def test_without_a_stream_the_session_rests_too(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        await slack.typing(partial(dm, "", thread=root.ts).chat)
        await say(slack, dm, "Failed.", thread=root.ts)
    assert dm.sessions == {root.ts: "active"}


async def test_an_aside_does_not_end_the_session_of_a_running_answer(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        await slack.typing(partial(dm, "", thread=root.ts).chat)
        await grow(slack, dm, root, "Some text")
        await say(slack, dm, "You are Ada.", thread=root.ts, turn="other")
        assert dm.sessions == {root.ts: "processing"}


async def test_an_older_app_shows_a_line_and_a_title(server, notes, dm, ada):
    server.agent = False
    async with adapter(server, notes) as slack:
        root = await dm.say(ada, "How do tides work?")
        await server.settled()
        await slack.typing(partial(dm, "", thread=root.ts).chat)
        assert [status.status for status in dm.status] == ["is thinking…"]
        await say(slack, dm, "They rise.", thread=root.ts)
    assert dm.titles == {root.ts: "How do tides work?"}
    assert len(server.called("agents.sessions.setStatus")) == 1


async def test_a_session_begins_when_slack_is_well_again(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        server.fail("agents.sessions.setStatus", status=500)
        for _ in range(2):
            await slack.typing(partial(dm, "", thread=root.ts).chat)
    assert dm.sessions == {root.ts: "processing"}


async def test_typing_never_fails(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        for fault in ({"status": 500}, {"drop": "before"}, {"error": "invalid_auth"}, {"garbled": True}):
            server.fail("agents.sessions.setStatus", **fault)
            server.fail("assistant.threads.setStatus", **fault)
            await slack.typing(partial(dm, "", thread=root.ts).chat)
        await slack.typing(partial(dm, "", thread="").chat)


async def test_what_a_program_that_died_began_to_show_becomes_the_final(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        await slack.preview(partial(dm, "It begins.\n\nAnd gr", thread=root.ts), "")
    (stray,) = dm.streaming
    async with adapter(server, notes) as slack:
        again = msgspec.structs.replace(partial(dm, "It begins anew.\n\nAnd", thread=root.ts), again=True)
        assert await slack.preview(again, "") == ""
        reply = Reply("t", ref(dm, root.ts), "The end.", reply_to=root.ts, again=True)
        (part,) = slack.parts(reply)
        assert await slack.send(reply, part, key="t:0", edit="", last=True) == stray.ts
    assert [message.text for message in dm.answers] == ["The end."]
    assert not dm.streaming
