"""The ``/_sim/`` API: order faults, make bots, chats and users, read the record.

    GET    /_sim/health                 {"ok": true}
    GET    /_sim/report                 see ``report.Report``
    GET    /_sim/calls?since=&limit=    what arrived, oldest first
    POST   /_sim/reset                  forget windows, faults and the record
    GET    /_sim/bots                   each bot's name, webhook, commands and waiting updates
    GET    /_sim/faults                 the rules in force
    POST   /_sim/faults                 one ``faults.Fault`` or a list of them
    DELETE /_sim/faults?id=             one rule, or all
    POST   /_sim/bots                   {"token", "username"?, "privacy"?} or a list
    POST   /_sim/chats                  {"kind", "title", "chat_id"?, "username"?, "bots"? (ids), "owner_id"?} or a list
    GET    /_sim/chats                  each group, supergroup and channel with its bots
    POST   /_sim/users                  {"first_name", "username"?, "user_id"?, "scripted"? (true)} or a list
    GET    /_sim/users                  each user; one that is not scripted never writes by itself
    POST   /_sim/say                    {"user", "text", "chat" or "bot", "reply_to"?} or a list
    POST   /_sim/edit                   {"user", "message_id", "text", "chat" or "bot"}
    POST   /_sim/press                  {"user", "message_id", "button" (data or text), "chat" or "bot"}
    POST   /_sim/files                  {"user", "kind", "chat" or "bot", "times"? (2 to 10: an album), "caption"?}
    POST   /_sim/inline                 {"user", "bot", "text", "offset"?}: an inline query
    POST   /_sim/choose                 {"user", "bot", "result", "text"}: one of its results is sent
    POST   /_sim/pay                    {"user", "message_id", "chat" or "bot"}: pay an invoice
    POST   /_sim/join                   {"user", "chat"}: join a group
    POST   /_sim/members                {"user", "bot", "chat"? (left out: the private chat), "member"}: block, add …
    POST   /_sim/migrate                {"chat", "to"?}: a group becomes a supergroup
    GET    /_sim/messages?chat=&bot=    what a chat shows now, oldest first; ``bot`` as that bot sees it
    GET    /_sim/deletions?chat=&bot=   the ids of what was deleted there, as far as they are remembered
    GET    /_sim/queries?id=            what was answered to a button, inline query or payment, null if not yet
    POST   /_sim/talkers                {"mean_interval_ms", "users"?}; 0 ends it
    GET    /_sim/settings               see ``settings.SimulatorSettings``
    PATCH  /_sim/settings               some of them

Only for callers on this machine, unless the settings say otherwise. Errors are
``{"ok": false, "error": "..."}`` with status 400, 403, 404, 405 or 413.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.methods.message_contents import ALBUM_LIMIT, sent_by_user
from tempogram.simulator.server.simulation import Simulation
from tempogram.simulator.server.wire import JSON_TYPE, encode
from tempogram.simulator.settings import settings_with
from tempogram.simulator.world import user_actions
from tempogram.simulator.world.world import Bot, Chat, ChatType

PREFIX = "/_sim/"
BODY_LIMIT_BYTES = 4_000_000
ITEMS_LIMIT = 20_000
CALLS_LIMIT = 100_000

Item = TypeVar("Item")
Query = dict[str, str]
Endpoint = Callable[[Simulation, Query, bytes], Awaitable[object]]


class NewBot(msgspec.Struct, forbid_unknown_fields=True):
    """See ``World.add_bot``."""

    token: str
    username: str = ""
    privacy: bool = False


class NewChat(msgspec.Struct, forbid_unknown_fields=True):
    """See ``World.add_chat``."""

    kind: ChatType
    title: str
    chat_id: int | None = None
    username: str = ""
    bots: list[int] = []
    owner_id: int = 0


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """See ``World.add_user``."""

    first_name: str
    username: str = ""
    user_id: int | None = None
    scripted: bool = True


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """See ``User.says``; ``chat`` for a group, ``bot`` for the private chat with it."""

    user: int
    text: str
    chat: int | str | None = None
    bot: int | None = None
    reply_to: int | None = None


class Edited(msgspec.Struct, forbid_unknown_fields=True):
    """See ``User.edits``."""

    user: int
    message_id: int
    text: str
    chat: int | str | None = None
    bot: int | None = None


class Pressed(msgspec.Struct, forbid_unknown_fields=True):
    """See ``User.presses``."""

    user: int
    message_id: int
    button: str
    chat: int | str | None = None
    bot: int | None = None


class SentFiles(msgspec.Struct, forbid_unknown_fields=True):
    """See ``user_actions.send``; ``times`` above 1 make an album."""

    user: int
    kind: Literal["photo", "video", "document", "audio", "voice", "sticker"]
    times: int = 1
    caption: str = ""
    chat: int | str | None = None
    bot: int | None = None


class InlineQuery(msgspec.Struct, forbid_unknown_fields=True):
    """See ``user_actions.ask_inline``."""

    user: int
    bot: int
    text: str
    offset: str = ""


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """See ``user_actions.choose``."""

    user: int
    bot: int
    result: str
    text: str


class Payment(msgspec.Struct, forbid_unknown_fields=True):
    """See ``user_actions.pay``."""

    user: int
    message_id: int
    chat: int | str | None = None
    bot: int | None = None


class Joined(msgspec.Struct, forbid_unknown_fields=True):
    """See ``user_actions.join``."""

    user: int
    chat: int | str


class Membership(msgspec.Struct, forbid_unknown_fields=True):
    """See ``User.blocks``, ``unblocks``, ``adds`` and ``removes``."""

    user: int
    bot: int
    member: bool
    chat: int | str | None = None


class Migration(msgspec.Struct, forbid_unknown_fields=True):
    """See ``Telegram.migrate``."""

    chat: int | str
    to: int | None = None


class Talking(msgspec.Struct, forbid_unknown_fields=True):
    """See ``ScriptedUsers.start``."""

    mean_interval_ms: int
    users: int = 3


async def answer(simulator: Simulation, request: BaseRequest, path: str, query: str) -> web.Response:
    """Answer one call of the control API; whatever is wrong with it becomes one JSON sentence."""
    if not (simulator.settings.control_from_anywhere or _is_loopback(request.remote)):
        return _error(403, "the control API is for callers on this machine only")
    methods = ENDPOINTS.get(path.removeprefix(PREFIX))
    if methods is None:
        return _error(404, f"there is no {path[:100]}")
    endpoint = methods.get(request.method)
    if endpoint is None:
        return _error(405, f"{path} takes {' or '.join(methods)}")
    body = await _body(request)
    if body is None:
        return _error(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes")
    try:
        result = await endpoint(simulator, dict(parse_qsl(query)), body)
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        return _error(400, str(error))
    except RecursionError:
        return _error(400, "the body is nested too deeply")
    return web.Response(body=encode(result), content_type=JSON_TYPE)


async def _body(request: BaseRequest) -> bytes | None:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            return None
    return bytes(body)


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False


def _error(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, body=encode({"ok": False, "error": sentence}), content_type=JSON_TYPE)


def _items(body: bytes, kind: type[Item]) -> list[Item]:
    """Read one thing or a list of them."""
    if not body.lstrip().startswith(b"["):
        return [msgspec.json.decode(body, type=kind)]
    items = msgspec.json.decode(body, type=list[kind])  # type: ignore[valid-type]
    if len(items) > ITEMS_LIMIT:
        raise ValueError(f"at most {ITEMS_LIMIT} at a time, not {len(items)}")
    return items


def _number(query: Query, name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    return int(value)


async def _health(_: Simulation, __: Query, ___: bytes) -> object:
    return {"ok": True}


async def _report(simulator: Simulation, _: Query, __: bytes) -> object:
    return simulator.report()


async def _calls(simulator: Simulation, query: Query, _: bytes) -> object:
    limit = min(_number(query, "limit", CALLS_LIMIT), CALLS_LIMIT)
    return list(simulator.telegram.record.calls(since=_number(query, "since", 0), limit=limit))


async def _reset(simulator: Simulation, _: Query, __: bytes) -> object:
    simulator.reset()
    return {"ok": True}


async def _faults(simulator: Simulation, _: Query, __: bytes) -> object:
    return simulator.telegram.faults.in_force()


async def _order(simulator: Simulation, _: Query, body: bytes) -> object:
    return {"ok": True, "ids": [simulator.order(fault) for fault in _items(body, Fault)]}


async def _end_faults(simulator: Simulation, query: Query, _: bytes) -> object:
    if "id" not in query:
        simulator.telegram.faults.clear()
    elif not simulator.telegram.faults.remove(_number(query, "id", 0)):
        raise ValueError(f"there is no fault {query['id']}")
    return {"ok": True}


async def _list_bots(simulator: Simulation, _: Query, __: bytes) -> object:
    return [
        {
            "bot_id": bot.bot_id,
            "username": bot.username,
            "webhook_url": bot.webhook.url if bot.webhook else "",
            "webhook_secret": bot.webhook.secret_token if bot.webhook else "",
            "allowed_updates": bot.allowed_updates,
            "commands": bot.commands,
            "updates_pending": len(bot.mailbox.updates),
        }
        for bot in simulator.telegram.world.bots.values()
    ]


async def _bots(simulator: Simulation, _: Query, body: bytes) -> object:
    added = [simulator.add_bot(bot.token, bot.username, privacy=bot.privacy) for bot in _items(body, NewBot)]
    return {"ok": True, "ids": [bot.bot_id for bot in added]}


async def _chats(simulator: Simulation, _: Query, body: bytes) -> object:
    world = simulator.telegram.world
    added = [
        simulator.add_chat(
            chat.kind,
            chat.title,
            chat_id=chat.chat_id,
            username=chat.username,
            owner_id=chat.owner_id,
            bots=[_known(world.bots, "bot", bot_id) for bot_id in chat.bots],
        )
        for chat in _items(body, NewChat)
    ]
    return {"ok": True, "ids": [chat.chat_id for chat in added]}


async def _users(simulator: Simulation, _: Query, body: bytes) -> object:
    added = [
        simulator.add_user(user.first_name, user.username, user_id=user.user_id, scripted=user.scripted)
        for user in _items(body, NewUser)
    ]
    return {"ok": True, "ids": [user.user_id for user in added]}


async def _list_chats(simulator: Simulation, _: Query, __: bytes) -> object:
    return [
        {
            "chat_id": chat.chat_id,
            "kind": chat.kind,
            "title": chat.title,
            "username": chat.username,
            "bots": sorted(chat.bots),
        }
        for chat in simulator.telegram.world.chats.values()
        if chat.kind != "private"
    ]


async def _list_users(simulator: Simulation, _: Query, __: bytes) -> object:
    return [
        {
            "user_id": user.user_id,
            "first_name": user.first_name,
            "username": user.username,
            "scripted": user.scripted,
        }
        for user in simulator.telegram.world.users.values()
    ]


async def _say(simulator: Simulation, _: Query, body: bytes) -> object:
    return {"ok": True, "message_ids": [_say_one(simulator, said) for said in _items(body, Said)]}


def _say_one(simulator: Simulation, said: Said) -> int:
    user = _known(simulator.telegram.world.users, "user", said.user)
    return user.says(_target(simulator, said), said.text, reply_to=said.reply_to)


async def _edit(simulator: Simulation, _: Query, body: bytes) -> object:
    edited = msgspec.json.decode(body, type=Edited)
    user = _known(simulator.telegram.world.users, "user", edited.user)
    user.edits(_target(simulator, edited), edited.message_id, edited.text)
    return {"ok": True}


async def _press(simulator: Simulation, _: Query, body: bytes) -> object:
    pressed = msgspec.json.decode(body, type=Pressed)
    user = _known(simulator.telegram.world.users, "user", pressed.user)
    return {"ok": True, "id": user.presses(_target(simulator, pressed), pressed.message_id, pressed.button)}


def _target(simulator: Simulation, given: Said | Edited | Pressed | SentFiles | Payment) -> Bot | Chat:
    world = simulator.telegram.world
    if given.bot is not None:
        return _known(world.bots, "bot", given.bot)
    return _known(world.chats, "chat", world.chat_id_of(given.chat))


async def _files(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=SentFiles)
    if not 1 <= given.times <= ALBUM_LIMIT:
        raise ValueError(f"at most {ALBUM_LIMIT} files at a time, and at least one, not {given.times}")
    world = simulator.telegram.world
    user = _known(world.users, "user", given.user)
    contents = [sent_by_user(given.kind, number=number) for number in range(1, given.times + 1)]
    ids = user_actions.send(world, user, _target(simulator, given), contents, caption=given.caption)
    return {"ok": True, "message_ids": ids}


async def _inline(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=InlineQuery)
    world = simulator.telegram.world
    user, bot = _known(world.users, "user", given.user), _known(world.bots, "bot", given.bot)
    return {"ok": True, "id": user_actions.ask_inline(world, user, bot, given.text, offset=given.offset)}


async def _choose(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=Chosen)
    world = simulator.telegram.world
    user, bot = _known(world.users, "user", given.user), _known(world.bots, "bot", given.bot)
    return {"ok": True, "inline_message_id": user_actions.choose(world, user, bot, given.result, given.text)}


async def _pay(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=Payment)
    world = simulator.telegram.world
    user = _known(world.users, "user", given.user)
    return {"ok": True, "id": user_actions.pay(world, user, _target(simulator, given), given.message_id)}


async def _join(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=Joined)
    world = simulator.telegram.world
    user, chat = _known(world.users, "user", given.user), _known(world.chats, "chat", world.chat_id_of(given.chat))
    return {"ok": True, "message_ids": [user_actions.join(world, user, chat)]}


async def _members(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=Membership)
    world = simulator.telegram.world
    user, bot = _known(world.users, "user", given.user), _known(world.bots, "bot", given.bot)
    chat = None if given.chat is None else _known(world.chats, "chat", world.chat_id_of(given.chat))
    if given.member:
        world.let_in(user, bot, chat)
    else:
        world.shut_out_bot(user, bot, chat)
    return {"ok": True}


async def _migrate(simulator: Simulation, _: Query, body: bytes) -> object:
    given = msgspec.json.decode(body, type=Migration)
    chat_id = simulator.telegram.world.chat_id_of(given.chat)
    if chat_id is None:
        raise ValueError(f"there is no chat {given.chat}")
    return {"ok": True, "id": simulator.migrate(chat_id, given.to)}


async def _messages(simulator: Simulation, query: Query, _: bytes) -> object:
    chat_id, bot_id = _view(simulator, query)
    return list(simulator.telegram.world.messages.of_chat(chat_id, bot_id=bot_id))


async def _deletions(simulator: Simulation, query: Query, _: bytes) -> object:
    chat_id, bot_id = _view(simulator, query)
    return list(simulator.telegram.world.messages.deleted_of_chat(chat_id, bot_id=bot_id))


def _view(simulator: Simulation, query: Query) -> tuple[int, int | None]:
    """Return which chat is looked at, and as which bot."""
    chat_id = simulator.telegram.world.chat_id_of(query.get("chat", ""))
    if chat_id is None:
        raise ValueError(f"there is no chat {query.get('chat', '')!r}")
    return chat_id, _number(query, "bot", 0) or None


async def _queries(simulator: Simulation, query: Query, _: bytes) -> object:
    known = simulator.telegram.world.queries.get(query.get("id", ""))
    if known is None:
        raise ValueError(f"there is no query {query.get('id', '')!r}")
    return {"ok": True, "answer": known.answer}


def _known(things: dict[int, Item], kind: str, number: int | None) -> Item:
    if number not in things:
        raise ValueError(f"there is no {kind} {number}")
    return things[number]


async def _scripted_users(simulator: Simulation, _: Query, body: bytes) -> object:
    talking = msgspec.json.decode(body, type=Talking)
    if talking.mean_interval_ms <= 0:
        await simulator.scripted_users.stop()
    else:
        await simulator.scripted_users.start(mean_interval_ms=talking.mean_interval_ms, users=talking.users)
    return {"ok": True}


async def _settings(simulator: Simulation, _: Query, __: bytes) -> object:
    return asdict(simulator.settings)


async def _change(simulator: Simulation, _: Query, body: bytes) -> object:
    changes = msgspec.json.decode(body, type=dict[str, Any])
    simulator.change(settings_with(simulator.settings, changes))
    return asdict(simulator.settings)


ENDPOINTS: dict[str, dict[str, Endpoint]] = {
    "health": {"GET": _health},
    "report": {"GET": _report},
    "calls": {"GET": _calls},
    "reset": {"POST": _reset},
    "faults": {"GET": _faults, "POST": _order, "DELETE": _end_faults},
    "bots": {"GET": _list_bots, "POST": _bots},
    "chats": {"GET": _list_chats, "POST": _chats},
    "users": {"GET": _list_users, "POST": _users},
    "say": {"POST": _say},
    "edit": {"POST": _edit},
    "press": {"POST": _press},
    "files": {"POST": _files},
    "inline": {"POST": _inline},
    "choose": {"POST": _choose},
    "pay": {"POST": _pay},
    "join": {"POST": _join},
    "members": {"POST": _members},
    "migrate": {"POST": _migrate},
    "messages": {"GET": _messages},
    "deletions": {"GET": _deletions},
    "queries": {"GET": _queries},
    "talkers": {"POST": _scripted_users},
    "settings": {"GET": _settings, "PATCH": _change},
}
