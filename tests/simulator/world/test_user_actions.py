"""Users send files, ask inline, pay and join; the bot gets the updates that Telegram would send."""

from typing import Any

from tests.simulator.conftest import Client

ANNA = 7
GROUP = -1_000_000_000_007
PRICES = [{"label": "Tea", "amount": 4}]
INVOICE = {"title": "Tea", "description": "green", "payload": "tea-1", "currency": "XTR", "prices": PRICES}


async def update_of(client: Client, kind: str) -> dict[str, Any]:
    """Return the newest update, which must be of that kind."""
    newest = (await client.call("getUpdates"))["result"][-1]
    found: dict[str, Any] = newest[kind]
    return found


async def acts(client: Client, what: str, **details: object) -> dict[str, Any]:
    client.simulator.add_user("Anna", user_id=ANNA)
    status, answer = await client.control("POST", what, user=ANNA, **details)
    assert status == 200, answer
    return dict(answer)


async def test_several_files_are_an_album_and_the_first_has_the_caption(client: Client) -> None:
    sent = await acts(client, "files", bot=100, kind="photo", times=3, caption="the sea")

    messages = [update["message"] for update in (await client.call("getUpdates"))["result"]]

    assert [message["message_id"] for message in messages] == sent["message_ids"]
    assert len({message["media_group_id"] for message in messages}) == 1
    assert [message.get("caption") for message in messages] == ["the sea", None, None]
    assert len({message["photo"][0]["file_unique_id"] for message in messages}) == 3


async def test_one_file_is_no_album_and_the_bot_can_send_it_back(client: Client) -> None:
    await acts(client, "files", bot=100, kind="photo")

    message = await update_of(client, "message")

    assert "media_group_id" not in message
    assert (await client.call("sendPhoto", chat_id=ANNA, photo=message["photo"][0]["file_id"]))["ok"]


async def test_more_files_than_an_album_holds_are_refused(client: Client) -> None:
    client.simulator.add_user("Anna", user_id=ANNA)

    status, answer = await client.control("POST", "files", user=ANNA, bot=100, kind="photo", times=11)

    assert (status, answer["error"]) == (400, "at most 10 files at a time, and at least one, not 11")


async def test_an_inline_query_is_answered_once_and_a_result_chosen(client: Client) -> None:
    query_id = (await acts(client, "inline", bot=100, text="cats", offset="2"))["id"]
    query = await update_of(client, "inline_query")
    assert (query["id"], query["query"], query["offset"]) == (query_id, "cats", "2")

    await client.call("answerInlineQuery", inline_query_id=query_id, results=[])
    chosen = await acts(client, "choose", bot=100, result="r1", text="cats")

    assert client.simulator.telegram.world.queries[query_id].answer == {"results": []}
    assert (await update_of(client, "chosen_inline_result"))["inline_message_id"] == chosen["inline_message_id"]


async def test_a_query_that_was_not_asked_cannot_be_answered(client: Client) -> None:
    query_id = (await acts(client, "inline", bot=100, text="cats"))["id"]

    unknown = await client.call("answerInlineQuery", inline_query_id="5", results=[])
    of_another_kind = await client.call("answerPreCheckoutQuery", pre_checkout_query_id=query_id, ok=True)

    assert unknown["error_code"] == of_another_kind["error_code"] == 400


async def test_a_payment_that_the_bot_confirms_is_a_message_with_the_invoices_payload(client: Client) -> None:
    sent = (await client.call("sendInvoice", chat_id=ANNA, **INVOICE))["result"]
    query_id = (await acts(client, "pay", bot=100, message_id=sent["message_id"]))["id"]
    assert (await update_of(client, "pre_checkout_query"))["invoice_payload"] == "tea-1"

    for _ in range(2):
        await client.call("answerPreCheckoutQuery", pre_checkout_query_id=query_id, ok=True)

    payments = [u for u in (await client.call("getUpdates"))["result"] if "successful_payment" in u.get("message", {})]
    assert [each["message"]["successful_payment"]["total_amount"] for each in payments] == [4]
    (earned,) = (await client.call("getStarTransactions"))["result"]["transactions"]
    assert (earned["amount"], earned["source"]["user"]["id"], earned["source"]["invoice_payload"]) == (4, ANNA, "tea-1")


async def test_a_payment_that_the_bot_refuses_is_none(client: Client) -> None:
    sent = (await client.call("sendInvoice", chat_id=ANNA, **INVOICE))["result"]
    query_id = (await acts(client, "pay", bot=100, message_id=sent["message_id"]))["id"]

    await client.call("answerPreCheckoutQuery", pre_checkout_query_id=query_id, ok=False, error_message="sold out")

    assert "pre_checkout_query" in (await client.call("getUpdates"))["result"][-1]


async def test_only_an_invoice_can_be_paid(client: Client) -> None:
    client.simulator.add_user("Anna", user_id=ANNA)
    sent = (await client.send(ANNA))["result"]

    status, answer = await client.control("POST", "pay", user=ANNA, bot=100, message_id=sent["message_id"])

    assert (status, answer["error"]) == (400, f"no bot has sent an invoice as message {sent['message_id']} there")


async def test_a_user_who_joins_is_shown_and_the_groups_owner_is_its_creator(client: Client) -> None:
    bots = {"bots": [100], "owner_id": ANNA}
    await client.control("POST", "chats", kind="supergroup", title="Friends", chat_id=GROUP, **bots)

    await acts(client, "join", chat=GROUP)

    assert (await update_of(client, "message"))["new_chat_members"][0]["id"] == ANNA
    owner = await client.call("getChatMember", chat_id=GROUP, user_id=ANNA)
    (only,) = (await client.call("getChatAdministrators", chat_id=GROUP))["result"]
    assert owner["result"] == only
    assert (only["status"], only["user"]["id"]) == ("creator", ANNA)
