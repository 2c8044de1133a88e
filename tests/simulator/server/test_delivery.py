"""Users write, and bots get updates by webhook or by polling."""

import asyncio
from typing import Any

from tempogram.simulator.world.world import Bot
from tests.simulator.conftest import HANGS_S, Client, Inbox


async def poll(client: Client, **params: object) -> list[dict[str, Any]]:
    updates: list[dict[str, Any]] = (await client.call("getUpdates", **params))["result"]
    return updates


async def until_polling(bot: Bot) -> None:
    async with asyncio.timeout(HANGS_S):
        while bot.mailbox._poller is None:  # noqa: ASYNC110 - nothing announces a poll
            await asyncio.sleep(0.001)


async def test_what_a_user_says_arrives_with_its_entities(client: Client) -> None:
    world = client.simulator
    user, bot = world.add_user("Anna", "anna"), world.add_bot(client.token)

    user.says(bot, "/start 😀 @echo_bot")

    (update,) = await poll(client)
    message = update["message"]
    assert message["text"] == "/start 😀 @echo_bot"
    assert message["from"]["username"] == "anna"
    assert message["chat"] == {"id": user.user_id, "type": "private", "first_name": "Anna", "username": "anna"}
    assert message["entities"] == [
        {"type": "bot_command", "offset": 0, "length": 6},
        {"type": "mention", "offset": 10, "length": 9},
    ]


async def test_update_ids_grow_and_an_offset_confirms_all_below_it(client: Client) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    for number in range(4):
        user.says(bot, f"message {number}")

    ids = [update["update_id"] for update in await poll(client)]
    rest = [update["update_id"] for update in await poll(client, offset=ids[1])]
    last = [update["update_id"] for update in await poll(client, offset=-1)]

    assert ids == sorted(set(ids))
    assert (rest, last) == (ids[1:], ids[3:])
    assert await poll(client, offset=ids[3] + 1) == []


async def test_a_poll_takes_no_more_than_its_limit(client: Client) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    for number in range(4):
        user.says(bot, f"message {number}")

    assert len(await poll(client, limit=2)) == 2


async def test_a_long_poll_ends_when_a_user_writes(client: Client) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    polling = asyncio.create_task(poll(client, timeout=2 * HANGS_S))
    await until_polling(bot)

    user.says(bot, "hello")

    assert len(await asyncio.wait_for(polling, HANGS_S)) == 1


async def test_a_second_poller_ends_the_first_with_a_conflict(client: Client) -> None:
    bot = client.simulator.add_bot(client.token)
    first = asyncio.create_task(client.call("getUpdates", timeout=30))
    await until_polling(bot)

    second = await client.call("getUpdates")

    assert second["ok"]
    assert (await first)["error_code"] == 409


async def test_polling_beside_a_webhook_is_a_conflict(client: Client, inbox: Inbox) -> None:
    await client.call("setWebhook", url=inbox.url)

    answer = await client.call("getUpdates")

    assert answer["error_code"] == 409
    assert "can't use getUpdates method while webhook is active" in answer["description"]


async def test_in_a_group_every_bot_gets_updates_and_one_with_privacy_only_those_meant_for_it(client: Client) -> None:
    world = client.simulator
    open_bot, shy_bot, stranger = (
        world.add_bot("1:a"),
        world.add_bot("2:b", "shy_bot", privacy=True),
        world.add_bot("3:c"),
    )
    group, user = world.add_chat("supergroup", "Friends", bots=[open_bot, shy_bot]), world.add_user("Anna")

    ids = [user.says(group, text) for text in ("hello", "/help", "@shy_bot and you?")]

    assert ids == [1, 2, 3]
    assert [len(bot.mailbox.updates) for bot in (open_bot, shy_bot, stranger)] == [3, 2, 0]


async def test_a_reply_shows_the_bots_message(client: Client) -> None:
    world = client.simulator
    bot, user = world.add_bot(client.token), world.add_user("Anna")
    message_id = (await client.send(user.user_id, "how are you?"))["result"]["message_id"]

    user.says(bot, "fine", reply_to=message_id)

    (update,) = await poll(client)
    replied = update["message"]["reply_to_message"]
    assert (replied["text"], replied["from"]["id"]) == ("how are you?", 100)


async def test_a_webhook_gets_updates_with_its_secret(client: Client, inbox: Inbox) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    await client.call("setWebhook", url=inbox.url, secret_token="s3cret")

    user.says(bot, "hello")
    await inbox.wait_for(1)

    assert inbox.updates[0]["message"]["text"] == "hello"
    assert inbox.secrets == ["s3cret"]


async def test_an_update_comes_again_until_it_is_taken_and_in_order(client: Client, inbox: Inbox) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    inbox.statuses = [500, 302, 404]
    await client.call("setWebhook", url=inbox.url)

    user.says(bot, "first")
    user.says(bot, "second")
    await inbox.wait_for(5)

    assert [update["message"]["text"] for update in inbox.updates] == ["first"] * 4 + ["second"]
    assert len({update["update_id"] for update in inbox.updates}) == 2
    assert "404" in (await client.call("getWebhookInfo"))["result"]["last_error_message"]


async def test_a_chat_whose_update_is_refused_holds_up_no_other_chat(client: Client, inbox: Inbox) -> None:
    client.change(redelivery_base_ms=60_000)
    anna, boris = client.simulator.add_user("Anna"), client.simulator.add_user("Boris")
    bot = client.simulator.add_bot(client.token)
    inbox.statuses = [500, 500]
    await client.call("setWebhook", url=inbox.url, max_connections=1)

    anna.says(bot, "hello")
    await inbox.wait_for(2)
    boris.says(bot, "hello")
    await inbox.wait_for(3)

    assert inbox.updates[2]["message"]["from"]["first_name"] == "Boris"


async def test_waiting_updates_go_to_a_new_webhook_unless_they_are_dropped(client: Client, inbox: Inbox) -> None:
    client.change(webhook_limit=0)
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    user.says(bot, "dropped")
    await client.call("setWebhook", url=inbox.url, drop_pending_updates=True)
    await client.call("deleteWebhook")

    user.says(bot, "kept")
    assert (await client.call("getWebhookInfo"))["result"]["pending_update_count"] == 1
    await client.call("setWebhook", url=inbox.url)
    await inbox.wait_for(1)

    assert [update["message"]["text"] for update in inbox.updates] == ["kept"]


async def test_scripted_users_write_to_every_chat_with_a_bot(client: Client) -> None:
    world = client.simulator
    bot = world.add_bot(client.token)
    world.add_chat("group", "Friends", bots=[bot])
    world.add_user("Anna")
    world.scripted_users.chance.seed(1)

    for _ in range(50):
        assert world.scripted_users.talk_once()

    texts = [update["message"] for update in await poll(client)]
    assert {message["chat"]["type"] for message in texts} == {"private", "group"}
    assert any(message["text"].startswith("/") for message in texts)
    assert any("@echo_bot" in message["text"] for message in texts)
