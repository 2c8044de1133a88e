"""What users do besides writing and pressing buttons: files, inline queries, payments, joining a group."""

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from tempogram.simulator.world.world import Bot, Chat, Query, User, World

Json = dict[str, Any]

_numbers = count(1)


def send(world: World, user: User, place: Chat | Bot, contents: Sequence[Json], *, caption: str = "") -> list[int]:
    """Send files, more than one as an album, and return the ids of the messages; the first has the caption.

    Source: https://core.telegram.org/bots/api#message (``media_group_id``)
    """
    group = {"media_group_id": str(next(_numbers))} if len(contents) > 1 else {}
    captions = [{"caption": caption} if caption else {}, *({} for _ in contents[1:])]
    return [world.post(user, place, content | group | text) for content, text in zip(contents, captions, strict=True)]


def ask_inline(world: World, user: User, bot: Bot, text: str, *, offset: str = "") -> str:
    """Type the bot's name and some words in any chat, and return the inline query's id.

    Source: https://core.telegram.org/bots/api#inlinequery
    """
    question = {"from": user.brief, "query": text, "offset": offset, "chat_type": "sender"}
    return world.ask(Query(bot.bot_id, "inline_query"), bot, user.user_id, question)


def choose(world: World, user: User, bot: Bot, result_id: str, text: str) -> str:
    """Send one of an inline query's results, and return its ``inline_message_id``.

    Source: https://core.telegram.org/bots/api#choseninlineresult
    """
    inline_message_id = f"inline-{next(_numbers)}"
    chosen = {"result_id": result_id, "from": user.brief, "query": text, "inline_message_id": inline_message_id}
    world.post_update(bot, user.user_id, "chosen_inline_result", chosen)
    return inline_message_id


def pay(world: World, user: User, place: Chat | Bot, message_id: int) -> str:
    """Pay an invoice, and return the id of the query that asks the bot to confirm it.

    Once the bot confirms it, the payment is a message of the chat.

    Source: https://core.telegram.org/bots/api#precheckoutquery

    Raises:
        ValueError: There is no invoice in that message.
    """
    chat_id = user.user_id if isinstance(place, Bot) else place.chat_id
    bot, invoice = _invoice(world, place, chat_id, message_id)
    price = {name: invoice[name] for name in ("currency", "total_amount")} | {
        "invoice_payload": world.invoice_payloads[bot.bot_id, chat_id, message_id]
    }

    def confirmed(answer: Json) -> None:
        if answer.get("ok") in {True, "true", "True"}:
            charge = {"telegram_payment_charge_id": f"charge-{message_id}", "provider_payment_charge_id": "test"}
            world.post(user, place, {"successful_payment": price | charge})
            if price["currency"] == "XTR":
                bot.stars.receive(
                    price["total_amount"],
                    of=user.brief,
                    payload=price["invoice_payload"],
                    charge_id=charge["telegram_payment_charge_id"],
                    at_s=int(time.time()),
                )

    return world.ask(
        Query(bot.bot_id, "pre_checkout_query", then=confirmed), bot, chat_id, {"from": user.brief} | price
    )


def join(world: World, user: User, chat: Chat) -> int:
    """Join a group, and return the id of the message that says so."""
    return world.post(user, chat, {"new_chat_members": [user.brief]})


def _invoice(world: World, place: Chat | Bot, chat_id: int, message_id: int) -> tuple[Bot, Json]:
    bots = [place] if isinstance(place, Bot) else [world.bots[bot_id] for bot_id in sorted(place.bots)]
    for bot in bots:
        message = world.messages.find(bot.bot_id, chat_id, message_id)
        if message and "invoice" in message and message.get("from", {}).get("id") == bot.bot_id:
            return bot, message["invoice"]
    raise ValueError(f"no bot has sent an invoice as message {message_id} there")
