"""What each Bot API method checks, costs and answers: a table.

A method is checked, and what it refers to looked for, before the windows are asked; it has its effect
after they agreed. Not simulated: markup is not taken out of texts.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tempogram.simulator.methods import message_contents, references
from tempogram.simulator.methods.calls import Call, Params, Refused, bad_request
from tempogram.simulator.methods.message_contents import CONTENTS, EDITS, Json
from tempogram.simulator.methods.params import (
    bounded_list,
    flag_of,
    ids_of,
    is_missing,
    json_of,
    list_of,
    number_of,
    require,
)
from tempogram.simulator.methods.read_methods import READS, TRUE_METHODS
from tempogram.simulator.methods.references import Edit, Reference
from tempogram.simulator.world.world import Webhook, World

Check = Callable[[Params], Any]
Answer = Callable[[World, Call, Any], Any]

QUERIES = {
    "answerCallbackQuery": "callback_query",
    "answerInlineQuery": "inline_query",
    "answerPreCheckoutQuery": "pre_checkout_query",
}
SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
THREAD = ("reply_to_message", "message_thread_id", "is_topic_message")  # left out of a message that is replied to
COMMANDS_LIMIT = 100
LISTS = {
    "createNewStickerSet": ("stickers", 1, 50),
    "setManagedBotAccessSettings": ("added_user_ids", 0, 10),
    "setStickerEmojiList": ("emoji_list", 1, 20),
    "setStickerKeywords": ("keywords", 0, 20),
}
"""How many items a list may have, of methods of which nothing else is checked."""

CONFLICT_WEBHOOK = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


@dataclass(frozen=True, slots=True)
class Method:
    """One method; ``check``, and ``reference`` after it, return what ``answer`` builds on.

    ``counts`` says whether it takes places in the windows, ``cost`` how many, given what was checked.
    """

    name: str
    check: Check
    answer: Answer
    counts: bool = False
    needs_chat: bool = False
    cost: Callable[[Any], int] = lambda _: 1
    reference: Reference | None = None


def _send(world: World, call: Call, content: Json) -> Json:
    """Answer with a new message."""
    message = _message(world, call, content)
    call.message_id = message["message_id"]
    world.messages.keep_own(call.bot.bot_id, message)
    return message


def _send_invoice(world: World, call: Call, content: Json) -> Json:
    message = _send(world, call, content)
    world.invoice_payloads[call.bot.bot_id, call.chat_id, call.message_id] = str(call.params["payload"])
    return message


def _send_album(world: World, call: Call, items: list[Json]) -> list[Json]:
    return [_send(world, call, item) for item in items]


def _message(world: World, call: Call, content: Json) -> Json:
    chat = world.chat(call.chat_id)
    message: Json = {
        "message_id": world.next_message_id(call.bot, call.chat_id),
        "date": int(time.time()),
        "chat": chat.brief,
    }
    if chat.kind == "channel":
        message["sender_chat"] = chat.brief
    else:
        message["from"] = call.bot.brief
    message |= content
    if len(call.params) > 2:
        message |= _decorations(world, call, message)
    return message


def _decorations(world: World, call: Call, message: Json) -> Json:
    """Repeat what a message shows besides its content: keyboard, topic, the message it replies to."""
    params = call.params
    shown = references.keyboard(params)
    thread_id = number_of(params, "message_thread_id")
    if thread_id:
        shown |= {"message_thread_id": thread_id, "is_topic_message": True}
    replied_id, _ = references.replied_to(params)
    if replied_id:
        replied = world.messages.find(call.bot.bot_id, call.chat_id, replied_id)
        brief = {"message_id": replied_id, "date": message["date"], "chat": message["chat"]}
        shown["reply_to_message"] = {name: value for name, value in (replied or brief).items() if name not in THREAD}
    return shown


def _checked(content: Callable[[Params], Any]) -> Check:
    """Check also what every sending method shares."""

    def check(params: Params) -> Any:
        checked = content(params)
        if isinstance(params.get("reply_markup"), str) and params["reply_markup"]:
            json_of(params, "reply_markup")
        return checked

    return check


def _check_edit(content: Callable[[Params], Json]) -> Check:
    def check(params: Params) -> Json:
        if not params.get("inline_message_id") and number_of(params, "message_id") is None:
            raise bad_request("message identifier is not specified")
        return content(params)

    return check


def _edit(world: World, call: Call, edit: Edit) -> Json | bool:
    """Answer with the message as it is now; the chat of an inline message is not known."""
    if call.params.get("inline_message_id"):
        return True
    now_s = int(time.time())
    call.message_id = number_of(call.params, "message_id") or 0
    unknown = {
        "message_id": call.message_id,
        "date": now_s,
        "chat": world.chat(call.chat_id).brief,
        "from": call.bot.brief,
    }
    message = ({} if edit.old else unknown) | references.changed(edit, call) | {"edit_date": now_s}
    if edit.old:
        world.messages.keep(call.bot.bot_id, message)
    return message


def _delete(world: World, call: Call, message_id: int) -> bool:
    world.messages.delete(call.bot.bot_id, call.chat_id, message_id)
    return True


def _delete_many(world: World, call: Call, ids: list[int]) -> bool:
    for message_id in ids:
        world.messages.delete(call.bot.bot_id, call.chat_id, message_id)
    return True


def _copy(world: World, call: Call, content: Json) -> Json:
    caption = {} if is_missing(call.params, "caption") else message_contents.caption(call.params)
    return {"message_id": _send(world, call, content | caption)["message_id"]}


def _check_many(params: Params) -> list[int]:
    require(params, "from_chat_id")
    return ids_of(params)


def _copy_many(world: World, call: Call, originals: list[Json]) -> list[Json]:
    return [{"message_id": _send(world, call, original)["message_id"]} for original in originals]


def _take_id(world: World, call: Call) -> int:
    call.message_id = world.next_message_id(call.bot, call.chat_id)
    return call.message_id


def _check_topic(params: Params) -> str:
    require(params, "name")
    return str(params["name"])


def _create_topic(world: World, call: Call, name: str) -> Json:
    return {"message_thread_id": _take_id(world, call), "name": name, "icon_color": 0x6FB9F0}


def _check_message_id(params: Params) -> int:
    message_id = number_of(params, "message_id")
    if message_id is None:
        raise bad_request("message identifier is not specified")
    return message_id


def _stop_poll(world: World, call: Call, message_id: int) -> Json:
    message = world.messages.find(call.bot.bot_id, call.chat_id, message_id) or {}
    poll: Json = message.get("poll", message_contents.open_poll("closed", [])) | {"is_closed": True}
    if message:
        world.messages.keep(call.bot.bot_id, message | {"poll": poll})
    return poll


def _check_webhook(params: Params) -> Webhook | None:
    """Check the address and the secret; an empty address removes the webhook.

    Source: https://core.telegram.org/bots/api#setwebhook
    """
    url = str(params.get("url") or "")
    if not url:
        return None
    secret_token = str(params.get("secret_token") or "")
    if secret_token and not SECRET_TOKEN.fullmatch(secret_token):
        raise bad_request("secret token contains unallowed characters")
    # Telegram takes a missing one as 40 and keeps others within 1 to 100.
    max_connections = min(max(number_of(params, "max_connections") or 40, 1), 100)
    list_of(params, "allowed_updates")
    return Webhook(url, secret_token, max_connections)


def allow_updates(call: Call) -> None:
    """Choose which updates a bot gets from now on; left out, the choice stays.

    Source: https://core.telegram.org/bots/api#getupdates
    """
    if not is_missing(call.params, "allowed_updates"):
        call.bot.allowed_updates = tuple(str(kind) for kind in list_of(call.params, "allowed_updates"))


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise bad_request("bad webhook: invalid URL") from error
    if host in LOOPBACK and parts.scheme in {"http", "https"}:
        return  # Telegram would not go there; a simulator on the same machine must.
    if parts.scheme != "https" or not host:
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if (port or 443) not in {443, 80, 88, 8443}:
        raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")


def _set_webhook(world: World, call: Call, webhook: Webhook | None) -> bool:
    if webhook is not None and not world.settings.any_webhook_url:
        _check_address(webhook.url)
    allow_updates(call)
    world.set_webhook(call.bot, webhook, drop_pending=flag_of(call.params, "drop_pending_updates"))
    return True


def _webhook_info(_: World, call: Call, __: object) -> Json:
    bot, webhook = call.bot, call.bot.webhook
    info: Json = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(bot.mailbox.updates),
    }
    if webhook:
        info["max_connections"] = webhook.max_connections
    if bot.allowed_updates:
        info["allowed_updates"] = list(bot.allowed_updates)
    if bot.last_error:
        info |= {"last_error_date": bot.last_error_at_s, "last_error_message": bot.last_error}
    return info


def _answer_query(kind: str) -> Answer:
    """Keep what a query is answered with, and let what follows from it happen once."""
    id_name = f"{kind}_id"

    def answered(world: World, call: Call, _: object) -> bool:
        query = world.queries.get(str(call.params.get(id_name, "")))
        if query is not None:
            query.answer = {name: value for name, value in call.params.items() if name != id_name}
            if query.then is not None:
                then, query.then = query.then, None
                then(query.answer)
        return True

    return answered


def _leave(world: World, call: Call, _: object) -> bool:
    world.leave(call.bot, call.chat_id)
    return True


def _check_chat_action(params: Params) -> None:
    require(params, "action")


def _check_commands(params: Params) -> list[Json]:
    commands = bounded_list(params, "commands", most=COMMANDS_LIMIT, many="BOT_COMMANDS_TOO_MUCH")
    if not all(isinstance(command, dict) and command.get("command") for command in commands):
        raise bad_request("can't parse BotCommand")
    return commands


def _set_commands(_: World, call: Call, commands: list[Json]) -> bool:
    call.bot.commands = commands
    return True


def _delete_commands(_: World, call: Call, __: object) -> bool:
    call.bot.commands = []
    return True


def _check_list(name: str, least: int, most: int) -> Check:
    return lambda params: bounded_list(params, name, least=least, most=most)


def _nothing_to_check(_: Params) -> None:
    return None


def _true(_: World, __: Call, ___: object) -> bool:
    return True


def _read(value: Callable[[World, Call], Any]) -> Answer:
    return lambda world, call, _: value(world, call)


def _refuse_poll(_: World, __: Call, ___: object) -> None:
    raise Refused(409, CONFLICT_WEBHOOK)


def _reference(name: str) -> Reference:
    return (
        references.with_files(references.answerable) if name in message_contents.SEND_FILES else references.answerable
    )


def _several(name: str, check: Check, answer: Answer, reference: Reference) -> Method:
    """Build a method that sends several messages and costs as many."""
    return Method(name, check, answer, counts=True, needs_chat=True, cost=len, reference=reference)


def _table() -> dict[str, Method]:
    """Build the table; names in lower case, since clients may spell them in any."""
    methods = [Method(name, _nothing_to_check, _true) for name in TRUE_METHODS]
    methods += [Method(name, _check_list(*bounds), _true) for name, bounds in LISTS.items()]
    methods.append(Method("deleteBusinessMessages", ids_of, _true))
    methods += [Method(name, _nothing_to_check, _read(value)) for name, value in READS.items()]
    methods += [
        Method(
            name,
            _checked(content),
            _send_invoice if name == "sendInvoice" else _send,
            counts=True,
            needs_chat=True,
            reference=_reference(name),
        )
        for name, content in CONTENTS.items()
    ]
    methods += [
        Method(
            name,
            _check_edit(content),
            _edit,
            counts=True,
            needs_chat=True,
            reference=references.with_files(references.editable),
        )
        for name, content in EDITS.items()
    ]
    methods += [
        _several("sendMediaGroup", message_contents.album, _send_album, references.with_files(references.answerable)),
        _several("copyMessages", _check_many, _copy_many, references.sources("copy")),
        _several("forwardMessages", _check_many, _copy_many, references.sources("forward")),
        Method("createForumTopic", _check_topic, _create_topic, counts=True, needs_chat=True),
        Method(
            "forwardMessage",
            message_contents.forwarded,
            _send,
            counts=True,
            needs_chat=True,
            reference=references.source("forward"),
        ),
        Method(
            "copyMessage",
            message_contents.copied,
            _copy,
            counts=True,
            needs_chat=True,
            reference=references.source("copy"),
        ),
        # To Telegram it is an edit, though it is not called one.
        Method(
            "stopPoll",
            _check_message_id,
            _stop_poll,
            counts=True,
            needs_chat=True,
            reference=references.exists("stop", refusal="message with poll to stop not found"),
        ),
        Method("deleteMessage", _check_message_id, _delete, needs_chat=True, reference=references.exists("delete")),
        Method("deleteMessages", ids_of, _delete_many, needs_chat=True),
        Method("pinChatMessage", _check_message_id, _true, needs_chat=True, reference=references.exists("pin")),
        Method("setMessageReaction", _check_message_id, _true, needs_chat=True, reference=references.exists("react")),
        *(
            Method(name, _nothing_to_check, _answer_query(kind), reference=references.asked(kind))
            for name, kind in QUERIES.items()
        ),
        Method("leaveChat", _nothing_to_check, _leave, needs_chat=True),
        Method("sendChatAction", _check_chat_action, _true, needs_chat=True),
        Method("setWebhook", _check_webhook, _set_webhook),
        Method("deleteWebhook", _nothing_to_check, _set_webhook),
        Method("getWebhookInfo", _nothing_to_check, _webhook_info),
        Method("setMyCommands", _check_commands, _set_commands),
        Method("deleteMyCommands", _nothing_to_check, _delete_commands),
        Method("getUpdates", _nothing_to_check, _refuse_poll),
    ]
    return {method.name.lower(): method for method in methods}


METHODS: dict[str, Method] = _table()
