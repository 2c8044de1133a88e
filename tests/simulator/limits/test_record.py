"""What the report says after a run."""

from tempogram.simulator.limits.record import Arrival, Record
from tempogram.simulator.limits.windows import SECOND
from tests.simulator.conftest import Client


def sent(text: str, *, at_s: int = 0, chat_id: int = 7, cost: int = 1, code: int = 200) -> Arrival:
    return Arrival(at_s * SECOND, 1, chat_id, "sendMessage", cost, code, text=text)


def test_accepted_places_are_counted_by_second_since_the_first_call() -> None:
    record = Record(kept=100)

    for at_s, cost, code in ((10, 1, 200), (10, 2, 200), (13, 1, 200), (13, 1, 429)):
        record.add(sent("", at_s=at_s, cost=cost, code=code))

    assert record.by_second == [3, 0, 0, 1]


def test_a_text_accepted_twice_in_one_chat_is_a_duplicate() -> None:
    record = Record(kept=100)

    for text, chat_id, code in (("a", 7, 200), ("a", 7, 200), ("a", 8, 200), ("b", 7, 500), ("b", 7, 200)):
        record.add(sent(text, chat_id=chat_id, code=code))

    assert record.duplicates == 1
    assert [duplicate.text for duplicate in record.duplicates_listed] == ["a"]


def test_only_marked_texts_must_be_unique_when_there_is_a_mark() -> None:
    record = Record(kept=100, unique_prefix="u:")

    for text in ("a", "a", "u:a", "u:a"):
        record.add(sent(text))

    assert record.duplicates == 1


def test_a_number_below_the_highest_of_its_prefix_and_chat_is_out_of_order() -> None:
    record = Record(kept=100)

    for text, chat_id in (("x #1", 7), ("x #3", 7), ("x #2", 7), ("y #1", 7), ("x #1", 8), ("x 9²", 7)):
        record.add(sent(text, chat_id=chat_id))

    assert record.out_of_order == 1


def test_a_duplicate_is_not_counted_as_out_of_order_too() -> None:
    record = Record(kept=100)

    for text in ("x #1", "x #2", "x #1"):
        record.add(sent(text))

    assert (record.duplicates, record.out_of_order) == (1, 0)


def test_memory_is_bounded_and_numbers_go_on() -> None:
    record = Record(kept=3)

    for number in range(10):
        record.add(sent(f"text {number}"))

    assert [(call["index"], call["text"]) for call in record.calls(since=0, limit=10)] == [
        (7, "text 7"),
        (8, "text 8"),
        (9, "text 9"),
    ]
    assert [call["index"] for call in record.calls(since=9, limit=10)] == [9]


async def test_every_call_is_recorded_with_what_became_of_it(client: Client) -> None:
    await client.send(-5, "x" * 100)
    await client.send(-5, "")
    await client.call("getMe")
    await client.call("nonsense")

    calls = list(client.simulator.telegram.record.calls(since=0, limit=10))

    assert [(call["method"], call["code"], call["cost"]) for call in calls] == [
        ("sendMessage", 200, 1),
        ("sendMessage", 400, 0),
        ("getMe", 200, 0),
        ("?", 404, 0),
    ]
    assert calls[0]["text"] == "x" * 64
    assert calls[0]["message_id"] == 1


async def test_a_run_within_the_limits_breaks_no_window_and_one_beyond_says_which(client: Client) -> None:
    client.change(group_limit=2)
    for _ in range(2):
        await client.send(-5)
    assert client.simulator.report().broke_no_window

    await client.send(-5)

    report = client.simulator.report()
    assert report.violations == {"group": 1}
    assert report.throttled == {"window": 1}
    assert (report.busiest_group.places, report.busiest_group.chat_id) == (2, -5)
    assert report.busiest_bot.places == report.busiest_total.places == 2


async def test_a_reset_forgets_what_was_sent_and_keeps_the_world(client: Client) -> None:
    client.change(group_limit=1)
    await client.send(-5)

    client.simulator.reset()

    assert (await client.send(-5))["ok"]
    assert client.simulator.report().calls == 1
    assert 100 in client.simulator.telegram.world.bots
