"""The table of keys, and the names that the program builds from it."""

from core import keys
from core.keys import SHARDS, TABLE, lane_keys, tag, tags
from tests.conftest import _KINDS

LANE = "0123456789abcdef" * 2
TURN = "f" * 32


def kinds_of(name: str) -> list[str]:
    return [kind.pattern for pattern, kind in _KINDS if pattern.fullmatch(name)]


def test_every_name_that_the_program_builds_stands_in_the_table_once():
    lane = lane_keys(LANE)
    names = {
        keys.META: "pieria:meta",
        keys.ADMINS: "pieria:admins",
        keys.CLAIM: "pieria:claim",
        keys.CODES: "pieria:codes",
        keys.owner_key(LANE): "pieria:key:<owner>",
        keys.account_key(LANE): "pieria:account:<account>",
        keys.chats_key(LANE): "pieria:chats:<person>",
        keys.code_key("ABCDEFGH"): "pieria:code:<code>",
        keys.asked_key(LANE): "pieria:asked:<account>",
        keys.note_key(LANE): "pieria:note:<note>",
        keys.pace_key(LANE, LANE): "pieria:pace:{<account>}:<lane>",
        keys.lease_key("telegram:1"): "pieria:lease:<space>",
        keys.TRAITS: "pieria:traits",
        keys.rate_key(LANE): "pieria:rate:{all}:<who>",
        keys.spent_key(LANE, "202611"): "pieria:spent:{all}:<who>:<n>",
        keys.held_key(LANE): "pieria:held:{all}:<who>",
        lane.state: "{t}:c:<lane>",
        lane.mailbox: "{t}:mb:<lane>",
        lane.context: "{t}:x:<lane>",
        lane.live: "{t}:live",
        lane.event(TURN): "{t}:ev:<event>",
        lane.journal(TURN): "{t}:j:<lane>:<turn>",
        lane.history(7): "{t}:h:<lane>:<n>",
        lane.sent(TURN): "{t}:sent:<turn>",
        lane.outbox("space"): "{t}:out:<space>",
        f"{lane.tag}:due": "{t}:due",
        f"{lane.tag}:todo": "{t}:todo",
        f"{lane.tag}:dead": "{t}:dead",
    }
    assert {name: kinds_of(name) for name in names} == {name: [pattern] for name, pattern in names.items()}
    assert set(names.values()) == {kind.pattern for kind in TABLE}


def test_all_keys_of_a_lane_lie_in_one_slot():
    lane = lane_keys(LANE)
    built = [lane.state, lane.mailbox, lane.context, lane.live, lane.event(TURN), lane.journal(TURN), lane.history(1)]
    built += [lane.sent(TURN), lane.outbox("space")]
    assert {name[: name.index("}") + 1] for name in built} == {tag(LANE)}


def test_lanes_spread_over_all_shards():
    found = [tag(f"{n:032x}") for n in range(8_000)]
    counts = [found.count(t) for t in tags()]
    assert len(tags()) == SHARDS
    assert min(counts) > 800


def test_a_kind_that_holds_what_people_said_ends_by_itself_or_by_delivery():
    endless = {kind.pattern for kind in TABLE if kind.expires.startswith("permanent")}
    assert endless == {
        "pieria:meta",
        "pieria:key:<owner>",
        "pieria:account:<account>",
        "pieria:admins",
        "pieria:traits",
        "{t}:dead",
    }


def test_a_name_that_is_no_key_of_ours_is_found_by_the_leak_check():
    assert kinds_of("{pieria9}:live") == []
    assert kinds_of("{pieria1}:c:somebody") == []
    assert kinds_of("pieria:account:12345") == []
    assert kinds_of("{pieria1}:unknown") == []
