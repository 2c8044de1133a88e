"""Unreachable chats: what is submitted to one is refused, until it writes again."""

from __future__ import annotations

import pytest
from msgspec import structs

from tempogram.engine.closing.reachability import OLD_IDS_USED_MS, RELOAD_AFTER_MS, RELOADS_MAX, Reachability
from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Rejected
from tempogram.engine.ports import Accepted
from tempogram.engine.ports.changes import Change, ChatChanged
from tests.engine.desk import Desk, turns
from tests.fakes import outgoing

BLOCKED = "Forbidden: bot was blocked by the user"


def reachability_of(desk: Desk, *, chats_max: int = 100) -> Reachability:
    return Reachability(
        ledger=desk.ledger,
        closer=desk.closer,
        changes=desk.changes,
        clock=desk.clock,
        hears=lambda *_: True,
        chats_max=chats_max,
    )


async def test_an_unreachable_chat_is_refused_with_telegrams_words_until_it_writes(desk: Desk) -> None:
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    (refused, other) = await desk.dispatcher.submit([outgoing("a", chat_id=7), outgoing("b", chat_id=8)])
    desk.reachability.mark_reachable(1, 7)
    (again,) = await desk.dispatcher.submit([outgoing("c", chat_id=7)])

    assert getattr(refused, "reason", None) == BLOCKED
    assert (other, again) == (Accepted(), Accepted())
    assert list(desk.ledger.statuses) == ["b", "c"]


FOR_SHOP = b'{"text":"hello","business_connection_id":"shop"}'


async def test_who_blocked_the_bot_still_gets_what_it_says_for_a_business_and_the_other_way_round(desk: Desk) -> None:
    """The key was the chat: one 403 ended the answers to a person who had written to the business."""
    own, for_shop = outgoing("own", chat_id=7), outgoing("for shop", chat_id=7, params=FOR_SHOP)
    for_other = outgoing("other", chat_id=7, params=b'{"business_connection_id":"other"}')

    await desk.reachability.mark_unreachable(1, 7, BLOCKED)
    first = [desk.reachability.refusal(each) is None for each in (own, for_shop, for_other)]
    desk.reachability.mark_reachable(1, 7)
    await desk.reachability.mark_unreachable(1, "business:shop:7", BLOCKED)
    second = [desk.reachability.refusal(each) is None for each in (own, for_shop, for_other)]

    assert (first, second) == ([False, True, True], [True, False, True])


@pytest.mark.parametrize(("refused", "left"), [("own", ["shop 2"]), ("shop", ["own 2"])])
async def test_a_refused_message_ends_what_waits_for_its_own_conversation_only(
    desk: Desk, refused: str, left: list[str]
) -> None:
    params = {"own": b'{"text":"hello"}', "shop": FOR_SHOP}
    await desk.accept(outgoing("a", chat_id=7, params=params[refused]))
    lease = await desk.lease()
    await desk.accept(*(outgoing(f"{each} 2", chat_id=7, params=params[each]) for each in ("own", "shop")))

    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))
    await desk.send(lease)

    waiting = [each for each, status in desk.ledger.statuses.items() if status is Status.QUEUED]
    name = 7 if refused == "own" else "business:shop:7"
    assert (waiting, list(desk.ledger.unreachable)) == (left, [(1, name)])


async def test_a_replay_tries_the_conversation_of_its_message_once_more_and_no_other(desk: Desk) -> None:
    for name in (7, "business:shop:7"):
        await desk.reachability.mark_unreachable(1, name, BLOCKED)

    await desk.dispatcher.readmit([outgoing("a", chat_id=7, params=FOR_SHOP)])

    assert [desk.reachability.is_unreachable(1, name) for name in (7, "business:shop:7")] == [True, False]


async def test_a_bot_without_updates_tries_every_message_that_comes_after_a_refusal(desk: Desk) -> None:
    desk.deaf.add(1)
    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=7))

    await desk.send(await desk.lease())
    await desk.send(await desk.leased(outgoing("c", chat_id=7)))

    assert desk.ledger.statuses == {"a": Status.DEAD, "b": Status.DEAD, "c": Status.SENT}


async def test_a_replay_tries_an_unreachable_chat_once_more(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7))
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)
    desk.ledger.statuses["a"] = Status.QUEUED
    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))

    await desk.dispatcher.readmit([outgoing("a", chat_id=7)])
    await desk.send(await desk.lease())

    assert desk.transport.ids == ["a"]
    assert desk.reachability.is_unreachable(1, 7)


async def test_a_chat_that_is_unreachable_for_one_bot_is_reachable_for_another(desk: Desk) -> None:
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    assert desk.reachability.refusal(outgoing("a", bot_id=2, chat_id=7)) is None


async def test_unreachable_chats_and_other_names_in_the_ledger_are_known_after_a_start(desk: Desk) -> None:
    desk.ledger.unreachable = {(1, -1_001): BLOCKED}
    desk.ledger.alias_of = {(1, "@news"): -1_001}
    reachability = reachability_of(desk)

    await reachability.load()

    assert reachability.is_unreachable(1, "@news")
    assert reachability.is_unreachable(1, -1_001)
    assert not reachability.is_unreachable(1, -1_002)


async def test_beyond_the_bound_the_chat_that_has_been_unreachable_for_longest_is_forgotten(desk: Desk) -> None:
    reachability = reachability_of(desk, chats_max=2)

    for chat_id in (7, 8, 9):
        await reachability.mark_unreachable(1, chat_id, BLOCKED)

    assert [reachability.is_unreachable(1, chat_id) for chat_id in (7, 8, 9)] == [False, True, True]


async def test_a_group_that_migrates_is_reachable_and_unreachable_under_both_ids_if_it_removes_the_bot(
    desk: Desk,
) -> None:
    await desk.reachability.mark_unreachable(1, -5, BLOCKED)

    desk.reachability.rename(1, -5, -1_001)
    before = desk.reachability.is_unreachable(1, -5), desk.reachability.is_unreachable(1, -1_001)
    await desk.reachability.mark_unreachable(1, -5, BLOCKED)

    assert before == (False, False)
    assert desk.reachability.is_unreachable(1, -1_001)
    desk.reachability.mark_reachable(1, -1_001)
    assert not desk.reachability.is_unreachable(1, -5)


async def test_two_ids_that_change_places_do_not_point_at_each_other(desk: Desk) -> None:
    desk.reachability.rename(1, -5, -6)
    desk.reachability.rename(1, -6, -5)

    await desk.reachability.mark_unreachable(1, -6, BLOCKED)

    assert desk.reachability.is_unreachable(1, -5)


async def test_messages_that_wait_for_an_unreachable_chat_are_ended_page_by_page(desk: Desk) -> None:
    await desk.accept(*(outgoing(f"m{number:04}", chat_id=7) for number in range(1_201)))

    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    assert set(desk.ledger.statuses.values()) == {Status.DEAD}
    assert (await desk.broker.stats()).waiting == dict.fromkeys((await desk.broker.stats()).waiting, 0)


async def test_a_call_that_shows_no_message_may_go_to_an_unreachable_chat(desk: Desk) -> None:
    await desk.accept(outgoing("message", chat_id=7), outgoing("deletion", chat_id=7, cost=0))

    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    assert desk.ledger.statuses == {"message": Status.DEAD, "deletion": Status.QUEUED}
    assert desk.reachability.refusal(outgoing("later", chat_id=7, cost=0)) is None


async def test_a_message_that_is_submitted_after_its_chat_became_unreachable_is_not_ended(desk: Desk) -> None:
    after = structs.replace(outgoing("after", chat_id=7), submitted_at_ms=desk.clock() + 1)
    await desk.accept(outgoing("before", chat_id=7), after)

    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    assert desk.ledger.statuses == {"before": Status.DEAD, "after": Status.QUEUED}


# What another process finds out


async def test_an_answer_goes_to_a_chat_that_has_written_to_another_process_before_its_change_has_come(
    desk: Desk,
) -> None:
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)
    desk.ledger.unreachable = {(1, 8): BLOCKED}

    back = await desk.reachability.refusal_in_ledger(outgoing("a", chat_id=7))
    await desk.reachability.mark_unreachable(1, 8, BLOCKED)
    lost = await desk.reachability.refusal_in_ledger(outgoing("b", chat_id=8))

    assert back is None
    assert lost is not None


async def test_a_chat_that_wrote_to_another_process_before_it_knew_of_the_refusal_is_read_again(
    desk: Desk,
) -> None:
    """Nothing changed for the other one, so it announced nothing; and here the chat was refused for ever."""
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)
    await desk.reachability.mark_unreachable(1, 8, BLOCKED)
    desk.ledger.unreachable = {(1, 8): BLOCKED}

    desk.clock.advance(RELOAD_AFTER_MS - 1)
    too_early = desk.reachability.due_for_reload()
    desk.clock.advance(1)
    due = desk.reachability.due_for_reload()
    await desk.reachability.reload(due)

    assert (too_early, due, desk.reachability.due_for_reload()) == ([], [(1, 7), (1, 8)], [])
    assert [desk.reachability.is_unreachable(1, chat_id) for chat_id in (7, 8)] == [False, True]


async def test_of_many_chats_that_become_unreachable_at_once_the_last_are_read_again(desk: Desk) -> None:
    for chat_id in range(RELOADS_MAX + 1):
        await desk.reachability.mark_unreachable(1, chat_id, BLOCKED)
    desk.clock.advance(RELOAD_AFTER_MS)

    due = desk.reachability.due_for_reload()

    assert (len(due), due[0]) == (RELOADS_MAX, (1, 1))


async def test_each_change_is_announced_for_every_name_of_its_chat(desk: Desk) -> None:
    desk.reachability.rename(1, -5, -1_001)
    await turns()
    renamed = announced_by(desk)
    await desk.reachability.mark_unreachable(1, -5, BLOCKED)
    await turns()
    lost = announced_by(desk)
    desk.reachability.mark_reachable(1, -1_001)
    await turns()

    assert renamed == lost == {ChatChanged(1, -5), ChatChanged(1, -1_001)}
    assert announced_by(desk) == {ChatChanged(1, -1_001)}


async def test_a_change_of_another_process_is_read_in_the_ledger_and_ends_no_message(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7))
    desk.ledger.unreachable, desk.ledger.alias_of = {(1, 7): BLOCKED}, {(1, -5): 7}

    await desk.reachability.reload([(1, 7), (1, -5), (1, 8)])
    lost = [desk.reachability.is_unreachable(1, chat_id) for chat_id in (7, -5, 8)]
    desk.ledger.unreachable, desk.ledger.alias_of = {}, {}
    await desk.reachability.reload([(1, 7), (1, -5)])

    assert lost == [True, True, False]
    assert [desk.reachability.is_unreachable(1, chat_id) for chat_id in (7, -5)] == [False, False]
    assert desk.ledger.statuses == {"a": Status.QUEUED}
    assert desk.changes.announced == []


async def test_a_full_load_replaces_everything_that_was_known(desk: Desk) -> None:
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)
    desk.ledger.unreachable = {(1, 8): BLOCKED}

    await desk.reachability.load()

    assert [desk.reachability.is_unreachable(1, chat_id) for chat_id in (7, 8)] == [False, True]


async def test_many_chats_are_read_again_in_pages(desk: Desk) -> None:
    await desk.reachability.reload([(1, chat_id) for chat_id in range(1_201)])

    assert desk.ledger.reads == [500, 500, 201]


@pytest.mark.parametrize("everything", [True, False])
async def test_a_chat_that_changes_here_while_the_ledger_is_read_is_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, everything: bool
) -> None:
    verb = "unreachable_chats" if everything else "reach_of"
    read = getattr(desk.ledger, verb)

    async def read_before_the_change(*places: object, **options: object) -> object:
        known = await read(*places, **options)
        monkeypatch.undo()
        desk.ledger.unreachable = {(1, 7): BLOCKED}
        await desk.reachability.mark_unreachable(1, 7, BLOCKED)
        return known

    monkeypatch.setattr(desk.ledger, verb, read_before_the_change)
    await (desk.reachability.load() if everything else desk.reachability.reload([(1, 7)]))

    assert desk.reachability.is_unreachable(1, 7)


async def test_two_ids_that_change_places_never_go_in_a_circle_however_they_are_read(desk: Desk) -> None:
    desk.ledger.alias_of = {(1, -5): -6}
    await desk.reachability.reload([(1, -5)])
    desk.ledger.alias_of = {(1, -6): -5}

    await desk.reachability.reload([(1, -6)])

    assert not desk.reachability.is_unreachable(1, -5)
    assert not desk.reachability.is_unreachable(1, -6)


def announced_by(desk: Desk) -> set[Change]:
    announced = set(desk.changes.announced)
    desk.changes.announced.clear()
    return announced


# Groups that have moved


async def test_only_what_was_submitted_to_a_group_that_moved_is_looked_up(desk: Desk) -> None:
    desk.reachability.rename(1, -5, -1_005)
    desk.reachability.rename(1, "@news", -1_006)
    now_ms = desk.clock()

    def may_have_moved(chat_id: int | None, submitted_at_ms: int = now_ms, bot_id: int = 1) -> bool:
        message = outgoing("a", chat_id=chat_id, bot_id=bot_id)
        return desk.reachability.may_have_moved(structs.replace(message, submitted_at_ms=submitted_at_ms))

    assert may_have_moved(-1_005)
    assert not may_have_moved(-1_005, now_ms + OLD_IDS_USED_MS + 1)
    assert not any((may_have_moved(-1_006), may_have_moved(-5), may_have_moved(None), may_have_moved(-1_005, bot_id=2)))


@pytest.mark.parametrize(("ago_ms", "is_known"), [(0, True), (OLD_IDS_USED_MS, True), (OLD_IDS_USED_MS + 1, False)])
async def test_a_move_is_after_a_restart_as_old_as_the_ledger_says(
    desk: Desk,
    ago_ms: int,
    is_known: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """Each start made all moves new, so that messages to groups that had moved years ago cost a query for a day."""
    desk.ledger.alias_of = {(1, -5): -1_005}
    desk.ledger.alias_since_ms = {(1, -5): desk.clock() - ago_ms}
    restarted = reachability_of(desk)

    await restarted.load()

    message = structs.replace(outgoing("a", chat_id=-1_005), submitted_at_ms=desk.clock())
    assert restarted.may_have_moved(message) is is_known


async def test_a_move_stays_as_old_as_it_is_when_its_chat_is_read_again(desk: Desk) -> None:
    desk.reachability.rename(1, -5, -1_005)
    desk.ledger.alias_of = {(1, -5): -1_005}
    desk.clock.advance(OLD_IDS_USED_MS + 1)

    await desk.reachability.reload([(1, -5)])

    message = structs.replace(outgoing("a", chat_id=-1_005), submitted_at_ms=desk.clock())
    assert not desk.reachability.may_have_moved(message)


async def test_a_move_is_forgotten_when_the_old_id_is_used_no_more(desk: Desk) -> None:
    desk.reachability.rename(1, -5, -1_005)
    desk.clock.advance(OLD_IDS_USED_MS + 1)

    desk.reachability.rename(1, -6, -1_006)

    assert list(desk.reachability._moved_ms) == [(1, -1_006)]
