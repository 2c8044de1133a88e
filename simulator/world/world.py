"""The bots, chats and users of the simulated Telegram."""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Protocol

import msgspec

from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.world.files import Files
from tempogram.simulator.world.mailbox import REPLACED_BY_WEBHOOK, Mailbox, Pending
from tempogram.simulator.world.messages import SUPERGROUPS_BELOW, Messages
from tempogram.simulator.world.stars import Stars
from tempogram.simulator.world.texts import entities_of, is_command, mentions

Json = dict[str, Any]
ChatType = Literal["private", "group", "supergroup", "channel"]

ID_LIMIT = 2**52  # Telegram promises that ids fit into 52 bits
QUERIES_KEPT = 10_000  # pressed buttons that may still be answered


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where and how a bot wants its updates."""

    url: str
    secret_token: str = ""
    max_connections: int = 40


@dataclass(slots=True)
class Bot:
    """One token; ``privacy`` hides group messages that are not meant for the bot."""

    bot_id: int
    token: str
    username: str
    mailbox: Mailbox
    privacy: bool = False
    revoked: bool = False
    webhook: Webhook | None = None
    allowed_updates: tuple[str, ...] = ()  # () means all
    commands: list[Json] = field(default_factory=list)
    last_error: str = ""
    last_error_at_s: int = 0
    stars: Stars = field(default_factory=Stars)
    brief: Json = field(default_factory=dict)
    update_ids: "count[int]" = field(default_factory=lambda: count(random.randrange(100_000_000, 900_000_000)))
    # Private chats and basic groups share one count of message ids; supergroups have their own.
    message_ids: "count[int]" = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        """Write down once what stands in every message of this bot."""
        self.brief = {
            "id": self.bot_id,
            "is_bot": True,
            "first_name": self.username,
            "username": self.username,
        }


@dataclass(slots=True)
class Chat:
    """One chat; ``bots`` are the members among the bots."""

    chat_id: int
    kind: ChatType
    title: str
    username: str = ""
    bots: set[int] = field(default_factory=set)
    owner_id: int = 0  # the user who made a group; 0 is none that is known
    brief: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write down once what stands in every message of this chat."""
        name = {"first_name": self.title} if self.kind == "private" else {"title": self.title}
        self.brief = {"id": self.chat_id, "type": self.kind, **name}
        if self.username:
            self.brief["username"] = self.username


@dataclass(slots=True)
class User:
    """A user whose words a test or ``ScriptedUsers`` chooses."""

    user_id: int
    first_name: str
    username: str
    world: "World"
    scripted: bool = True  # ``ScriptedUsers`` may let it write

    def says(self, chat: "Chat | Bot", text: str, *, reply_to: int | None = None) -> int:
        """Write into a group, or into the private chat with a bot, and return the message's id.

        Args:
            chat: A chat, or a bot for the private chat with it.
            text: Commands and mentions in it become entities.
            reply_to: The id of a message of this chat, best one of a bot's.
        """
        return self.world.say(self, chat, text, reply_to=reply_to)

    def edits(self, chat: "Chat | Bot", message_id: int, text: str) -> None:
        """Change a message of one's own.

        Raises:
            ValueError: There is no such message of this user's.
        """
        self.world.edit(self, chat, message_id, text)

    def presses(self, chat: "Chat | Bot", message_id: int, button: str) -> str:
        """Press an inline button, named by its data or its text, and return the callback query's id.

        Raises:
            ValueError: There is no such message or no such button.
        """
        return self.world.press(self, chat, message_id, button)

    def blocks(self, bot: "Bot") -> None:
        """Block a bot: it gets an update of it, and can write no more."""
        self.world.shut_out_bot(self, bot, None)

    def unblocks(self, bot: "Bot") -> None:
        """Let a bot write again; writing to a blocked bot does that too."""
        self.world.let_in(self, bot, None)

    def adds(self, bot: "Bot", chat: "Chat") -> None:
        """Make a bot a member of a group; it gets an update of it."""
        self.world.let_in(self, bot, chat)

    def removes(self, bot: "Bot", chat: "Chat") -> None:
        """Remove a bot from a group; it gets an update of it."""
        self.world.shut_out_bot(self, bot, chat)

    @property
    def brief(self) -> Json:
        """What stands in every message of this user."""
        brief = {"id": self.user_id, "is_bot": False, "first_name": self.first_name, "language_code": "en"}
        return brief | {"username": self.username} if self.username else brief


class Courier(Protocol):
    """Brings updates to webhooks; ``server.delivery`` does."""

    def offer(self, bot: Bot, pending: Pending) -> None:
        """Bring one update, after those before it in the same chat."""

    def restart(self, bot: Bot) -> None:
        """Read again where the bot wants its updates, and begin with all that wait."""


@dataclass(slots=True)
class Query:
    """A question that a bot answers once: a pressed button, an inline query, a payment to be confirmed.

    ``answer`` is what the bot gave; ``then`` is called with it.
    """

    bot_id: int
    kind: str = "callback_query"
    answer: Json | None = None
    then: Callable[[Json], None] | None = None


@dataclass(slots=True)
class World:
    """Everything that exists, found by its id, its token or its name."""

    settings: SimulatorSettings
    courier: Courier | None = None
    bots: dict[int, Bot] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    migrations: dict[int, int] = field(default_factory=dict)
    messages: Messages = field(init=False)
    files: Files = field(default_factory=Files)
    queries: OrderedDict[str, Query] = field(default_factory=OrderedDict)
    # Why a bot may not write to a chat, by bot and chat, in Telegram's words.
    shut_out: dict[tuple[int, int], str] = field(default_factory=dict)
    _bots_by_token: dict[str, Bot] = field(default_factory=dict)
    _chats_by_name: dict[str, int] = field(default_factory=dict)
    # By bot, chat and message: a payment tells the bot what no message shows.
    invoice_payloads: dict[tuple[int, int, int], str] = field(default_factory=dict)
    _message_ids: "dict[int, count[int]]" = field(default_factory=dict)
    _free_ids: "count[int]" = field(default_factory=lambda: count(7_000_001))

    def __post_init__(self) -> None:
        """Begin with empty chats."""
        self.messages = Messages(self.settings.messages_kept)

    def add_bot(self, token: str, username: str = "", *, privacy: bool = False) -> Bot:
        """Register a bot, or return the one that has this token.

        Raises:
            ValueError: The token does not begin with the bot's number and a colon.
        """
        known = self._bots_by_token.get(token)
        if known is not None:
            return known
        number, colon, secret = token.partition(":")
        if not (number.isdecimal() and number.isascii() and len(number) <= 18 and colon and secret):
            raise ValueError(f"a token is <number>:<secret>, not {token!r}")
        bot_id = int(number)
        name = username.removeprefix("@") or f"sim_{bot_id}_bot"
        bot = Bot(bot_id, token, name, Mailbox(self.settings.updates_kept), privacy=privacy)
        # A second token of the same number replaces the first, as when a token is made anew.
        old = self.bots.get(bot_id)
        if old is not None:
            self._bots_by_token.pop(old.token, None)
        self.bots[bot_id] = self._bots_by_token[token] = bot
        return bot

    def add_chat(
        self,
        kind: ChatType,
        title: str,
        *,
        chat_id: int | None = None,
        username: str = "",
        bots: Iterable[Bot] = (),
        owner_id: int = 0,
    ) -> Chat:
        """Register a chat with bots as its members; without an id one is made up.

        Raises:
            ValueError: The id does not fit the kind.
        """
        number = next(self._free_ids) if chat_id is None else chat_id
        if chat_id is None and kind != "private":
            number = -number if kind == "group" else SUPERGROUPS_BELOW - number
        if (number > 0) != (kind == "private") or abs(number) >= ID_LIMIT:
            raise ValueError(f"{number} cannot be the id of a {kind} chat")
        chat = Chat(number, kind, title, username.removeprefix("@"), {bot.bot_id for bot in bots}, owner_id)
        self.chats[number] = chat
        if chat.username:
            self._chats_by_name[chat.username.lower()] = number
        return chat

    def add_user(
        self, first_name: str, username: str = "", *, user_id: int | None = None, scripted: bool = True
    ) -> User:
        """Register a user; one that is not ``scripted`` never writes by itself."""
        number = next(self._free_ids) if user_id is None else user_id
        if not 0 < number < ID_LIMIT:
            raise ValueError(f"{number} cannot be the id of a user")
        user = self.users[number] = User(number, first_name, username.removeprefix("@"), self, scripted)
        return user

    def bot_of(self, token: str) -> Bot | None:
        """Find the bot of a token; an unknown one is registered if any token is accepted."""
        bot = self._bots_by_token.get(token)
        if bot is None and self.settings.accept_any_token and int(token.partition(":")[0]) not in self.bots:
            bot = self.add_bot(token)
        return bot

    def chat_id_of(self, given: object) -> int | None:
        """Find the number of a chat that is given as a number, as digits or as ``@name``."""
        if isinstance(given, str):
            if given.startswith("@"):
                return self._named(given)
            try:
                given = int(given)
            except ValueError:
                return None
        if not isinstance(given, int) or not 0 < abs(given) < ID_LIMIT:
            return None
        if self.settings.accept_any_chat or given in self.chats or given in self.users:
            return given
        return None

    def chat(self, chat_id: int) -> Chat:
        """Return a chat; an unknown one is made up from its number."""
        known = self.chats.get(chat_id)
        if known is not None:
            return known
        if chat_id < 0:
            kind: ChatType = "supergroup" if chat_id < SUPERGROUPS_BELOW else "group"
            return Chat(chat_id, kind, f"Group {-chat_id}")
        user = self.users.get(chat_id)
        return Chat(chat_id, "private", user.first_name if user else f"User {chat_id}")

    def migrate(self, chat_id: int, to_chat_id: int | None = None) -> int:
        """Make a supergroup of a group, tell its bots, and return its id; a second time returns the same.

        Source: https://core.telegram.org/bots/api#message (``migrate_to_chat_id``)
        """
        known = self.migrations.get(chat_id)
        if known is not None:
            return known
        old = self.chat(chat_id)
        new = self.add_chat("supergroup", old.title, chat_id=to_chat_id, username=old.username)
        new.bots |= old.bots
        self.migrations[chat_id] = new.chat_id
        for bot in self._members(old):
            self._tell(bot, old, {"migrate_to_chat_id": new.chat_id})
            self._tell(bot, new, {"migrate_from_chat_id": chat_id})
        return new.chat_id

    def next_message_id(self, bot: Bot, chat_id: int) -> int:
        """Number a new message."""
        if chat_id > SUPERGROUPS_BELOW:
            return next(bot.message_ids)
        ids = self._message_ids.get(chat_id)
        if ids is None:
            ids = self._message_ids[chat_id] = count(1)
        return next(ids)

    def say(self, user: User, place: Chat | Bot, text: str, *, reply_to: int | None = None) -> int:
        """See ``User.says``."""
        return self.post(user, place, _text(text), reply_to=reply_to)

    def post(self, user: User, place: Chat | Bot, content: Json, *, reply_to: int | None = None) -> int:
        """Let a user write a message of any content, and return its id."""
        chat, listeners = self._place(user, place)
        if isinstance(place, Bot) and (place.bot_id, chat.chat_id) in self.shut_out:
            self.let_in(user, place, None)
        shared_id = 0
        for bot in listeners:
            # Of a supergroup all bots see one id; elsewhere each bot counts for itself.
            if not shared_id or chat.chat_id > SUPERGROUPS_BELOW:
                shared_id = self.next_message_id(bot, chat.chat_id)
            message = self._message(user, chat, shared_id, content)
            if reply_to is not None:
                message["reply_to_message"] = self._replied_to(user, bot, chat, reply_to)
            self.messages.keep(bot.bot_id, message)
            if self._hears(bot, chat, message):
                self.post_update(bot, chat.chat_id, "channel_post" if chat.kind == "channel" else "message", message)
        return shared_id

    def edit(self, user: User, place: Chat | Bot, message_id: int, text: str) -> None:
        """See ``User.edits``."""
        chat, listeners = self._place(user, place)
        kind = "edited_channel_post" if chat.kind == "channel" else "edited_message"
        changed = False
        for bot in listeners:
            message = self.messages.find(bot.bot_id, chat.chat_id, message_id)
            if message and _sender_id(message) in {user.user_id, chat.chat_id}:
                edited = message | self._message(user, chat, message_id, _text(text))
                edited |= {"date": message["date"], "edit_date": int(time.time())}
                self.messages.keep(bot.bot_id, edited)
                changed = True
                if self._hears(bot, chat, edited):
                    self.post_update(bot, chat.chat_id, kind, edited)
        if not changed:
            raise ValueError(f"{user.first_name} has written no message {message_id} there")

    def press(self, user: User, place: Chat | Bot, message_id: int, button: str) -> str:
        """See ``User.presses``."""
        chat, listeners = self._place(user, place)
        for bot in listeners:
            message = self.messages.find(bot.bot_id, chat.chat_id, message_id)
            if message and _sender_id(message) in {bot.bot_id, chat.chat_id}:
                return self._query(user, bot, message, _data_of(message, button))
        raise ValueError(f"no bot has written a message {message_id} there")

    def shut_out_bot(self, user: User, bot: Bot, chat: Chat | None) -> None:
        """See ``User.blocks`` and, with a chat, ``User.removes``."""
        place = chat or self._private_chat(user)
        place.bots.discard(bot.bot_id)
        if (bot.bot_id, place.chat_id) not in self.shut_out:
            blocked = "bot was blocked by the user" if chat is None else f"bot was kicked from the {place.kind} chat"
            self.shut_out[bot.bot_id, place.chat_id] = blocked
            self._tell_membership(user, bot, place, "member", "kicked")

    def let_in(self, user: User, bot: Bot, chat: Chat | None) -> None:
        """See ``User.unblocks`` and, with a chat, ``User.adds``."""
        place = chat or self._private_chat(user)
        was_shut_out = self.shut_out.pop((bot.bot_id, place.chat_id), None) is not None
        is_new = chat is not None and bot.bot_id not in chat.bots
        if chat is not None:
            chat.bots.add(bot.bot_id)
        if was_shut_out or is_new:
            self._tell_membership(user, bot, place, "kicked" if was_shut_out else "left", "member")

    def leave(self, bot: Bot, chat_id: int) -> None:
        """Let a bot leave a group by itself."""
        chat = self.chat(chat_id)
        chat.bots.discard(bot.bot_id)
        self.shut_out[bot.bot_id, chat_id] = f"bot is not a member of the {chat.kind} chat"

    def post_update(self, bot: Bot, chat_id: int, kind: str, content: Json) -> None:
        """Give a bot an update, by its webhook or for its next poll."""
        if bot.allowed_updates and kind not in bot.allowed_updates:
            return
        update_id = next(bot.update_ids)
        body = msgspec.Raw(msgspec.json.encode({"update_id": update_id, kind: content}))
        pending = Pending(update_id, chat_id, body, time.monotonic_ns())
        bot.mailbox.add(pending)
        if self.courier is not None and bot.webhook is not None:
            self.courier.offer(bot, pending)

    def set_webhook(self, bot: Bot, webhook: Webhook | None, *, drop_pending: bool) -> None:
        """Change where a bot gets its updates; what waits goes there too, unless it is dropped."""
        if drop_pending:
            bot.mailbox.updates.clear()
        bot.webhook = webhook
        if webhook is not None:
            bot.mailbox.end_poll(REPLACED_BY_WEBHOOK)
        if self.courier is not None:
            self.courier.restart(bot)

    def _named(self, name: str) -> int | None:
        key = name[1:].lower()
        chat_id = self._chats_by_name.get(key)
        if chat_id is None and self.settings.accept_any_chat and key:
            chat_id = self.add_chat("channel", key, username=key).chat_id
        return chat_id

    def _place(self, user: User, place: Chat | Bot) -> tuple[Chat, list[Bot]]:
        """Return the chat that is meant, and the bots in it."""
        if isinstance(place, Bot):
            return self._private_chat(user), [place]
        return place, self._members(place)

    def _private_chat(self, user: User) -> Chat:
        return self.chats.get(user.user_id) or Chat(user.user_id, "private", user.first_name, user.username)

    def _members(self, chat: Chat) -> list[Bot]:
        return [self.bots[bot_id] for bot_id in sorted(chat.bots) if bot_id in self.bots]

    def _message(self, user: User, chat: Chat, message_id: int, content: Json) -> Json:
        sender = {"sender_chat": chat.brief} if chat.kind == "channel" else {"from": user.brief}
        return {"message_id": message_id, **sender, "chat": chat.brief, "date": int(time.time()), **content}

    def _replied_to(self, user: User, bot: Bot, chat: Chat, message_id: int) -> Json:
        said = self.messages.find(bot.bot_id, chat.chat_id, message_id)
        if said:
            return {name: value for name, value in said.items() if name != "reply_to_message"}
        return {
            "message_id": message_id,
            "chat": chat.brief,
            "date": int(time.time()),
            "from": user.brief,
            "text": "",
        }

    def _tell(self, bot: Bot, chat: Chat, content: Json) -> None:
        """Give a bot a service message."""
        message_id = self.next_message_id(bot, chat.chat_id)
        message = {"message_id": message_id, "chat": chat.brief, "date": int(time.time())}
        self.post_update(bot, chat.chat_id, "message", message | content)

    def _tell_membership(self, user: User, bot: Bot, chat: Chat, old: str, new: str) -> None:
        """Give a bot an update of its own membership.

        Source: https://core.telegram.org/bots/api#chatmemberupdated
        """
        changed = {
            "chat": chat.brief,
            "from": user.brief,
            "date": int(time.time()),
            "old_chat_member": _membership(bot, old),
            "new_chat_member": _membership(bot, new),
        }
        self.post_update(bot, chat.chat_id, "my_chat_member", changed)

    def _query(self, user: User, bot: Bot, message: Json, data: str) -> str:
        chat_id = message["chat"]["id"]
        question = {"from": user.brief, "message": message, "chat_instance": str(chat_id), "data": data}
        return self.ask(Query(bot.bot_id), bot, chat_id, question)

    def ask(self, query: Query, bot: Bot, chat_id: int, question: Json) -> str:
        """Give a bot an update that it answers once, and return the query's id."""
        query_id = str(random.getrandbits(62))
        self.queries[query_id] = query
        if len(self.queries) > QUERIES_KEPT:
            self.queries.popitem(last=False)
        self.post_update(bot, chat_id, query.kind, {"id": query_id} | question)
        return query_id

    def _hears(self, bot: Bot, chat: Chat, message: Json) -> bool:
        """Tell whether a bot sees a message; with privacy on, in groups only what is meant for it.

        Source: https://core.telegram.org/bots/features#privacy-mode
        """
        if not bot.privacy or chat.kind == "private":
            return True
        replied = message.get("reply_to_message", {})
        text = message.get("text") or message.get("caption") or ""
        return is_command(text) or mentions(text, bot.username) or replied.get("from", {}).get("id") == bot.bot_id


def _text(text: str) -> Json:
    entities = entities_of(text)
    return {"text": text, "entities": entities} if entities else {"text": text}


def _sender_id(message: Json) -> int:
    """Return the sender of a message: a user, a bot, or the channel itself."""
    sender_id: int = (message.get("from") or message.get("sender_chat") or {}).get("id", 0)
    return sender_id


def _data_of(message: Json, button: str) -> str:
    """Return the data of the inline button that is named by its data or its text."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    buttons = [given for row in rows if isinstance(row, list) for given in row if isinstance(given, dict)]
    for name in ("callback_data", "text"):
        for given in buttons:
            if given.get(name) == button and "callback_data" in given:
                return str(given["callback_data"])
    raise ValueError(f"message {message['message_id']} has no button {button!r} with callback data")


def _membership(bot: Bot, status: str) -> Json:
    member: Json = {"status": status, "user": bot.brief}
    return member | {"until_date": 0} if status == "kicked" else member
