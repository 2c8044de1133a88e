"""Messages after they were sent: edited, deleted, forwarded, replied to, and their buttons pressed."""

from dataclasses import replace
from typing import Any

import pytest

from tempogram.simulator import Fault
from tempogram.simulator.limits.faults import Kind
from tempogram.simulator.world.messages import Messages
from tempogram.simulator.world.world import User
from tests.simulator.conftest import Client

GROUP = -1_000_000_000_007
KEYBOARD = {
    "inline_keyboard": [[{"text": "Yes", "callback_data": "y"}, {"text": "Site", "url": "https://example.com"}]]
}


async def sent(client: Client, chat_id: int = 7, **params: object) -> int:
    answer = await client.call("sendMessage", **({"chat_id": chat_id, "text": "hello"} | params))
    return int(answer["result"]["message_id"])


async def updates(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.call("getUpdates"))["result"]
    return found


def user_of(client: Client) -> User:
    return client.simulator.add_user("Anna", user_id=7)


async def test_an_edit_shows_the_whole_message_with_its_new_text(client: Client) -> None:
    message_id = await sent(client, reply_markup=KEYBOARD)

    edited = (await client.call("editMessageText", chat_id=7, message_id=message_id, text="better"))["result"]
    again = (await client.call("editMessageReplyMarkup", chat_id=7, message_id=message_id, reply_markup=KEYBOARD))[
        "result"
    ]

    assert (edited["text"], "reply_markup" in edited, edited["message_id"]) == ("better", False, message_id)
    assert (again["text"], again["reply_markup"]) == ("better", KEYBOARD)
    assert again["edit_date"]


@pytest.mark.parametrize("after_an_edit", [False, True])
async def test_an_edit_that_changes_nothing_is_refused_and_costs_nothing(
    client: Client, *, after_an_edit: bool
) -> None:
    message_id = await sent(client)
    same = {"chat_id": 7, "message_id": message_id, "text": "hello"}
    if after_an_edit:
        same["text"] = "better"
        await client.call("editMessageText", **same)

    answer = await client.call("editMessageText", **same)

    assert answer["error_code"] == 400
    assert answer["description"].startswith("Bad Request: message is not modified: specified new message content")
    assert client.simulator.report().places == 1 + after_an_edit


async def test_the_same_text_with_another_keyboard_is_an_edit(client: Client) -> None:
    message_id = await sent(client)

    answer = await client.call("editMessageText", chat_id=7, message_id=message_id, text="hello", reply_markup=KEYBOARD)

    assert answer["ok"]


@pytest.mark.parametrize(
    ("method", "params", "description"),
    [
        ("editMessageText", {"text": "x"}, "message to edit not found"),
        ("editMessageReplyMarkup", {}, "message to edit not found"),
        ("deleteMessage", {}, "message to delete not found"),
        ("pinChatMessage", {}, "message to pin not found"),
        ("setMessageReaction", {}, "message to react not found"),
        ("stopPoll", {}, "message with poll to stop not found"),
        ("forwardMessage", {"from_chat_id": 7}, "message to forward not found"),
        ("copyMessage", {"from_chat_id": 7}, "message to copy not found"),
        ("sendMessage", {"text": "x", "reply_to_message_id": 99}, "message to be replied not found"),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
    ],
)
async def test_a_message_that_was_never_sent_cannot_be_referred_to(
    client: Client, method: str, params: dict[str, Any], description: str
) -> None:
    await sent(client)

    answer = await client.call(method, chat_id=7, message_id=99, **params)

    assert (answer.get("error_code"), answer.get("description")) == (400, f"Bad Request: {description}")


async def test_a_deleted_message_is_gone_and_only_for_its_chat(client: Client) -> None:
    message_id, other = await sent(client), await sent(client, 8)

    assert (await client.call("deleteMessage", chat_id=7, message_id=message_id))["ok"]

    again = await client.call("deleteMessage", chat_id=7, message_id=message_id)
    edit = await client.call("editMessageText", chat_id=7, message_id=message_id, text="x")
    assert again["description"] == "Bad Request: message to delete not found"
    assert edit["description"] == "Bad Request: message to edit not found"
    assert (await client.call("deleteMessages", chat_id=8, message_ids=[other, 99]))["ok"]
    assert (await client.call("deleteMessage", chat_id=8, message_id=other))["error_code"] == 400


async def test_a_bot_edits_only_its_own_messages_and_only_what_they_have(client: Client) -> None:
    user = user_of(client)
    theirs = user.says(client.simulator.add_bot(client.token), "hello")
    photo = (await client.call("sendPhoto", chat_id=7, photo="id"))["result"]["message_id"]
    text = await sent(client)

    refusals = [
        await client.call("editMessageText", chat_id=7, message_id=theirs, text="x"),
        await client.call("editMessageText", chat_id=7, message_id=photo, text="x"),
        await client.call("editMessageCaption", chat_id=7, message_id=text, caption="x"),
    ]

    assert [answer["description"].removeprefix("Bad Request: ") for answer in refusals] == [
        "message can't be edited",
        "there is no text in the message to edit",
        "there is no caption in the message to edit",
    ]


async def test_a_reply_may_go_without_what_it_replies_to_and_shows_it_if_it_is_there(client: Client) -> None:
    message_id = await sent(client, text="question")

    shown = await client.call("sendMessage", chat_id=7, text="x", reply_parameters={"message_id": message_id})
    alone = await client.call(
        "sendMessage", chat_id=7, text="x", reply_parameters={"message_id": 99, "allow_sending_without_reply": True}
    )

    assert shown["result"]["reply_to_message"]["text"] == "question"
    assert alone["ok"]


async def test_a_forward_and_a_copy_contain_what_the_message_contained(client: Client) -> None:
    message_id = await sent(client, text="news")
    where = {"chat_id": 8, "from_chat_id": 7}

    forwarded = (await client.call("forwardMessage", message_id=message_id, **where))["result"]
    copied = (await client.call("copyMessages", message_ids=[message_id, 99], **where))["result"]

    assert (forwarded["text"], forwarded["forward_origin"]["type"]) == ("news", "hidden_user")
    _, messages = await client.control("GET", "messages?chat=8")
    assert [message["text"] for message in messages] == ["news", "news"]
    assert len(copied) == 1


async def test_one_number_is_another_message_to_another_bot_but_not_in_a_supergroup() -> None:
    messages = Messages(kept=10)
    for chat_id in (7, GROUP):
        messages.keep_own(1, {"message_id": 1, "chat": {"id": chat_id}, "text": "one"})

    assert messages.find(2, 7, 1) is None
    assert messages.find(2, GROUP, 1)


async def test_a_message_that_is_not_kept_any_more_counts_as_there(client: Client) -> None:
    client.simulator.telegram.world.messages.kept = 2
    first, *_ = [await sent(client, chat_id) for chat_id in (7, 8, 9)]

    edited = await client.call("editMessageText", chat_id=7, message_id=first, text="hello")

    assert edited["result"]["text"] == "hello"
    assert (await client.call("editMessageText", chat_id=7, message_id=99, text="x"))["error_code"] == 400


async def test_a_pressed_button_is_a_callback_query_until_it_is_answered(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    message_id = await sent(client, reply_markup=KEYBOARD)

    query_ids = [user.presses(bot, message_id, button) for button in ("Yes", "y")]

    first = (await updates(client))[0]["callback_query"]
    assert (first["id"], first["data"], first["from"]["id"]) == (query_ids[0], "y", 7)
    assert first["message"]["text"] == "hello"
    assert (await client.call("answerCallbackQuery", callback_query_id=query_ids[0], text="done"))["ok"]
    assert client.simulator.telegram.world.queries[query_ids[0]].answer == {"text": "done"}
    unknown = await client.call("answerCallbackQuery", callback_query_id="5")
    assert "query is too old" in unknown["description"]


@pytest.mark.parametrize(("number", "button"), [(1, "Site"), (1, "No"), (99, "Yes")])
async def test_a_button_that_is_not_there_cannot_be_pressed(client: Client, number: int, button: str) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    await sent(client, reply_markup=KEYBOARD)

    with pytest.raises(ValueError, match=str(number)):
        user.presses(bot, number, button)


async def test_a_user_edits_a_message(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    message_id = user.says(bot, "helo")

    user.edits(bot, message_id, "hello /help")

    edited = (await updates(client))[1]["edited_message"]
    assert (edited["message_id"], edited["text"], edited["entities"][0]["type"]) == (
        message_id,
        "hello /help",
        "bot_command",
    )
    with pytest.raises(ValueError, match="99"):
        user.edits(bot, 99, "x")


async def test_a_blocked_bot_gets_an_update_and_may_write_again_when_the_user_does(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)

    user.blocks(bot)
    refused = await client.send(7)
    user.says(bot, "/start")

    assert refused["description"] == "Forbidden: bot was blocked by the user"
    assert (await client.send(7))["ok"]
    heard = await updates(client)
    statuses = [update["my_chat_member"]["new_chat_member"]["status"] for update in heard[:2]]
    assert statuses == ["kicked", "member"]
    assert heard[2]["message"]["text"] == "/start"


async def test_a_bot_is_removed_from_a_group_and_added_again(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    group = client.simulator.add_chat("supergroup", "Friends", chat_id=GROUP, bots=[bot])

    user.removes(bot, group)
    refused = await client.send(GROUP)
    user.says(group, "is it gone?")
    user.adds(bot, group)
    await client.call("leaveChat", chat_id=GROUP)
    left = await client.send(GROUP)

    assert refused["description"] == "Forbidden: bot was kicked from the supergroup chat"
    assert left["description"] == "Forbidden: bot is not a member of the supergroup chat"
    assert [list(update)[1] for update in await updates(client)] == ["my_chat_member", "my_chat_member"]


async def test_a_group_that_migrates_sends_its_bots_an_update_and_keeps_its_windows(client: Client) -> None:
    client.change(group_limit=2)
    bot = client.simulator.add_bot(client.token)
    client.simulator.add_chat("group", "Friends", chat_id=-5, bots=[bot])
    for number in range(2):
        await client.send(-5, f"{number}")

    new = client.simulator.migrate(-5)

    assert (await client.send(-5))["parameters"] == {"migrate_to_chat_id": new}
    assert (await client.send(new))["error_code"] == 429
    received = [update["message"] for update in await updates(client)]
    assert [received[0].get("migrate_to_chat_id"), received[1].get("migrate_from_chat_id")] == [new, -5]


async def test_a_choice_of_updates_holds_until_it_is_changed(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    await client.call("getUpdates", allowed_updates=["message"])
    message_id = user.says(bot, "one")
    user.edits(bot, message_id, "two")
    assert [list(update)[1] for update in await updates(client)] == ["message"]

    await client.call("getUpdates", allowed_updates=[])
    user.edits(bot, message_id, "three")

    assert [list(update)[1] for update in await updates(client)] == ["message", "edited_message"]


async def test_a_message_in_a_channel_is_a_channel_post(client: Client) -> None:
    user, bot = user_of(client), client.simulator.add_bot(client.token)
    channel = client.simulator.add_chat("channel", "News", bots=[bot])

    user.says(channel, "extra")

    (update,) = await updates(client)
    assert update["channel_post"]["sender_chat"]["id"] == channel.chat_id


@pytest.mark.parametrize(
    ("kind", "error"), [("400_429", "Too Many Requests: retry after 8"), ("400_item", "WEBPAGE_CURL_FAILED")]
)
async def test_half_of_an_album_may_arrive(client: Client, kind: Kind, error: str) -> None:
    client.simulator.order(Fault(kind=kind, delivered=2, times=1, retry_after_s=8))
    media = [{"type": "photo", "media": str(number)} for number in range(3)]

    answer = await client.call("sendMediaGroup", chat_id=-5, media=media)

    assert answer["description"] == f'Bad Request: failed to send message #3 with the error message "{error}"'
    _, messages = await client.control("GET", "messages?chat=-5")
    assert len(messages) == 2


async def test_a_bot_that_pays_may_send_more_than_thirty_in_a_second(client: Client) -> None:
    paid = [await client.call("sendMessage", chat_id=n, text="a", allow_paid_broadcast=True) for n in range(1, 41)]
    free = [await client.call("sendMessage", chat_id=n, text="a") for n in range(41, 81)]

    assert all(each["ok"] for each in paid)
    assert not all(each["ok"] for each in free)


async def test_what_a_bot_sends_above_its_free_rate_is_billed(client: Client) -> None:
    client.simulator.change(replace(client.simulator.telegram.settings, bot_limit=5, bot_window_ms=600_000))
    for number in range(1, 18):
        await client.call("sendMessage", chat_id=number, text="a", allow_paid_broadcast=True)
    await client.call("sendMessage", chat_id=18, text="a", allow_paid_broadcast=False)

    transactions = (await client.call("getStarTransactions", limit=100))["result"]["transactions"]

    assert sum(each["receiver"]["request_count"] for each in transactions) == 12
    assert {each["receiver"]["type"] for each in transactions} == {"telegram_api"}
    billed = [each["amount"] * 10**9 + each.get("nanostar_amount", 0) for each in transactions]
    assert billed == [each["receiver"]["request_count"] * 10**8 for each in transactions]
    assert (await client.call("getMyStarBalance"))["result"] == {"amount": -1, "nanostar_amount": -200_000_000}


async def test_transactions_come_oldest_first_and_page_by_page(client: Client) -> None:
    stars = client.simulator.telegram.world.bots[100].stars
    for at_s in (1, 1, 2, 3):
        stars.bill(10, at_s=at_s)

    async def dates(**page: int) -> list[int]:
        answer = await client.call("getStarTransactions", **page)
        return [each["date"] for each in answer["result"]["transactions"]]

    assert [await dates(), await dates(limit=2), await dates(offset=2), await dates(offset=3)] == [
        [1, 2, 3],
        [1, 2],
        [3],
        [],
    ]
