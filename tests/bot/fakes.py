"""Fakes of what surrounds ``bot/``: aiogram's network, the database, minimal methods."""

from __future__ import annotations

import asyncio
import re
import types
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.base import BaseSession
from aiogram.methods import TelegramMethod
from aiogram.types import BufferedInputFile, InputFile
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tempogram.api.core.ports import Refusal
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.engine.dispatcher import Submission
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import ChatId, Outgoing
from tempogram.engine.ports import Accepted
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.files.spool import Spool, Spooled
from tempogram.storage.files.uploads import StoredFile
from tempogram.storage.files.writes import Attachment
from tempogram.storage.updates import ReceivedUpdate
from tests.fakes import START_MS

TOKEN = "42:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
BOT_ID = 42
USERNAME = "the_bot"


class DirectSession(BaseSession):
    """The network that calls reach which do not count: it notes them, and answers True."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []
        self.methods: list[AnyMethod] = []
        self.closed = False

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:  # noqa: ASYNC109
        self.called.append(method.__api_method__)
        self.methods.append(method)
        return True

    async def close(self) -> None:
        self.closed = True

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b"a file"


class DirectAiohttpSession(AiohttpSession):
    """aiogram's own session, as a user would subclass it, without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:  # noqa: ASYNC109
        self.called.append(method.__api_method__)
        return True


class AcceptingDispatcher:
    """Notes what is submitted and accepts it; nothing is ever sent."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.dropped: list[tuple[int, ChatId, tuple[str, ...]]] = []

    async def refusal(self, message: Outgoing) -> None: ...

    async def submit(self, messages: Sequence[Outgoing]) -> list[Submission]:
        self.messages.extend(messages)
        return [Accepted() for _ in messages]

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: Sequence[str]) -> None:
        self.dropped.append((bot_id, chat_id, tuple(replaces)))

    @property
    def methods(self) -> list[str]:
        return [message.method for message in self.messages]


class DictUploads:
    """See ``storage.files.uploads``: what messages carry, in memory. ``asleep``: the database is away."""

    def __init__(self) -> None:
        self.asleep = False
        self.held_up: asyncio.Event | None = None
        self.contents: dict[str, bytes] = {}
        self.carried: dict[str, list[Attachment]] = {}
        self.file_ids: dict[tuple[int, str, str | None], str] = {}

    async def keep(
        self,
        message_id: str,
        bot_id: int,
        carried: Sequence[Attachment],
        files: Mapping[str, Spooled],
        *,
        needs_bytes: bool = False,
    ) -> None:
        self.carried[message_id] = list(carried)
        if self.held_up is not None:
            await self.held_up.wait()
        for each in carried:
            if needs_bytes or (bot_id, each.sha256, each.kind) not in self.file_ids:
                self.contents[each.sha256] = b"".join(files[each.sha256].parts())

    async def forget(self, message_id: str) -> None:
        for each in self.carried.pop(message_id, ()):
            self.contents.pop(each.sha256, None)

    async def of_message(self, message_id: str, bot_id: int) -> list[StoredFile]:
        if self.asleep:
            raise LedgerError("the database refused")
        return [
            StoredFile(
                **asdict(each),
                file_id=self.file_ids.get((bot_id, each.sha256, each.kind)),
                is_here=each.sha256 in self.contents,
            )
            for each in self.carried.get(message_id, ())
        ]

    async def parts(self, sha256: str) -> AsyncGenerator[bytes, None]:
        if self.asleep:
            raise LedgerError("the database refused")
        yield self.contents[sha256]

    async def remember_file_id(self, bot_id: int, sha256: str, kind: str, file_id: str) -> None:
        self.file_ids[bot_id, sha256, kind] = file_id

    async def forget_file_id(self, bot_id: int, file_id: str) -> None:
        self.file_ids = {key: known for key, known in self.file_ids.items() if (key[0], known) != (bot_id, file_id)}


UPLOAD_BYTES_MAX = 1_000


def attaching(uploads: DictUploads, directory: Path | None = None) -> Attachments:
    spool = Spool(directory or Path(gettempdir()), UPLOAD_BYTES_MAX)
    return Attachments(uploads, spool)  # type: ignore[arg-type]


class TokenList:
    """See ``session.TokenStore``."""

    def __init__(self) -> None:
        self.learned: list[str] = []
        self.removed = False

    async def learn(self, token: str) -> None:
        if self.removed:
            raise Refusal("the bot was removed")
        if token not in self.learned:
            self.learned.append(token)


@dataclass
class ListUpdates:
    """The inbox. ``asleep``: the database is away; ``loses_answer``: it goes away after the commit."""

    asleep: bool = False
    loses_answer: bool = False
    stored: dict[tuple[int, int], ReceivedUpdate] = field(default_factory=dict)
    ends: dict[tuple[int, int], str] = field(default_factory=dict)
    adopted: set[tuple[int, int]] = field(default_factory=set)

    async def receive(self, bot_id: int, update_id: int, body: bytes, *, now_ms: int) -> bool:
        self._wake()
        key = (bot_id, update_id)
        is_new = key not in self.stored
        self.stored.setdefault(
            key, ReceivedUpdate(bot_id=bot_id, update_id=update_id, body=body, received_at_ms=now_ms)
        )
        if self.loses_answer:
            raise LedgerError("the connection broke")
        return is_new

    async def mark_handled(self, handled: Sequence[tuple[int, int]], *, now_ms: int) -> None:
        self._wake()
        for key in handled:
            self.ends.setdefault(key, "handled")

    async def mark_failed(self, bot_id: int, update_id: int, *, reason: str, now_ms: int) -> None:
        self._wake()
        self.ends.setdefault((bot_id, update_id), f"failed: {reason}")

    async def adopt(self, *, limit: int) -> list[ReceivedUpdate]:
        """Adopt each once: the process that stored it has ended by then."""
        self._wake()
        left = [key for key in self.stored if key not in self.ends and key not in self.adopted][:limit]
        self.adopted.update(left)
        return [self.stored[key] for key in left]

    def _wake(self) -> None:
        if self.asleep:
            raise LedgerError("the database is away")


class FewBots:
    """A registry of bots that a test adds, changes and removes."""

    def __init__(self) -> None:
        self._bots: dict[int, tuple[Bot, RegisteredBot]] = {}
        self._watchers: list[Callable[[int], None]] = []

    def put(self, bot_id: int, **behaviours: Any) -> Bot:
        """Add a bot, or change its behaviours."""
        known = self._bots.get(bot_id)
        bot = known[0] if known else Bot(f"{bot_id}:{TOKEN.partition(':')[2]}", session=DirectSession())
        self._bots[bot_id] = bot, replace(registered(behaviours), bot_id=bot_id)
        self._notify(bot_id)
        return bot

    def remove(self, bot_id: int) -> None:
        del self._bots[bot_id]
        self._notify(bot_id)

    def bot(self, bot_id: int) -> Bot:
        return self._bots[bot_id][0]

    def registered(self, bot_id: int) -> RegisteredBot:
        return self._bots[bot_id][1]

    def has_behaviour(self, bot_id: int, behaviour: str) -> bool:
        return bot_id in self._bots and behaviour in self._bots[bot_id][1].behaviours

    def bots_with(self, behaviour: str) -> tuple[Bot, ...]:
        return tuple(bot for bot_id, (bot, _) in self._bots.items() if self.has_behaviour(bot_id, behaviour))

    def watch(self, listener: Callable[[int], None]) -> Callable[[], None]:
        self._watchers.append(listener)
        return lambda: self._watchers.remove(listener)

    def _notify(self, bot_id: int) -> None:
        for listener in self._watchers:
            listener(bot_id)


class OneBot:
    """A fleet of one bot, and its registry."""

    def __init__(self, *, behaviours: Mapping[str, Any] | None = None) -> None:
        self._bot = Bot(TOKEN, session=DirectSession())
        self._registered = registered(behaviours or {})
        self.removed: set[int] = set()
        self.unreadable: set[int] = set()
        self.unheard: set[int] = set()  # another process added them

    async def reload(self, bot_ids: Collection[int]) -> None:
        self.unheard.difference_update(bot_ids)

    @property
    def registry(self) -> OneBot:
        return self

    @property
    def direct(self) -> DirectSession:
        session = self._bot.session
        direct = getattr(session, "direct", session)
        assert isinstance(direct, DirectSession)
        return direct

    def has(self, bot_id: int) -> bool:
        return bot_id not in self.removed | self.unheard | self.unreadable

    def bot(self, bot_id: int) -> Bot:
        assert bot_id == BOT_ID
        return self._bot

    def has_behaviour(self, bot_id: int, behaviour: str) -> bool:
        return self.has(bot_id) and behaviour in self._registered.behaviours

    def bots_with(self, behaviour: str) -> tuple[Bot, ...]:
        return (self._bot,) if self.has_behaviour(BOT_ID, behaviour) else ()

    def watch(self, _: Callable[[int], None]) -> Callable[[], None]:
        return lambda: None

    def registered(self, bot_id: int) -> RegisteredBot:
        assert bot_id == BOT_ID
        return self._registered


def registered(behaviours: Mapping[str, Any]) -> RegisteredBot:
    return RegisteredBot(
        bot_id=BOT_ID,
        username=USERNAME,
        first_name="The bot",
        behaviours=behaviours,
        paused=False,
        weight=1,
        added_at_ms=START_MS,
    )


# Minimal methods


def minimal_fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return a value for each required field of a method or type."""
    return {name: minimal(each.annotation, name) for name, each in model.model_fields.items() if each.is_required()}


def minimal(annotation: Any, name: str = "") -> Any:
    """Return some value that this annotation takes; a file's id rather than a file."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return minimal(get_args(annotation)[0], name)
    if origin in {Union, types.UnionType}:
        return minimal(_simplest(get_args(annotation)), name)
    if origin is list:
        return [minimal(get_args(annotation)[0])]
    if origin is Literal:
        return get_args(annotation)[0]
    if isinstance(annotation, type):
        return _minimal_of(annotation, name)
    raise TypeError(f"no idea what {annotation!r} takes")


def shortcut(method: type[AnyMethod]) -> str:
    """Return the name of the method of ``Bot`` that calls this one.

    >>> from aiogram.methods import SendMessage
    >>> shortcut(SendMessage)
    'send_message'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method.__api_method__).lower()


SIMPLE: dict[type, Any] = {
    bool: True,
    int: 5,
    float: 1.5,
    str: "text",
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    timedelta: timedelta(seconds=5),
}


def _simplest(options: Sequence[Any]) -> Any:
    for preferred in (str, int):
        if preferred in options:
            return preferred
    return next(option for option in options if option is not type(None) and not isinstance(option, FieldInfo))


def _minimal_of(kind: type, name: str) -> Any:
    if kind is str and name == "chat_id":
        return "-1005"
    if kind in SIMPLE:
        return SIMPLE[kind]
    if issubclass(kind, InputFile):
        return BufferedInputFile(b"bytes", "file.txt")
    assert issubclass(kind, BaseModel), kind
    return kind(**minimal_fields(kind))
