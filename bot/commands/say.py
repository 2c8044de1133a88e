"""``tempogram say``: speaks to a bot in the simulated Telegram, and shows what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from tempogram.bot.terminal.plain import harmless
from tempogram.engine.model.errors import EngineError

if TYPE_CHECKING:
    from tempogram.bot.config.settings import Settings
    from tempogram.simulator.sync_client import Remote, RemoteBot, RemoteChat, RemoteUser

WAIT_S = 5.0
"""How long the first answer may take; a private chat has one message a second, after a burst of three."""

SILENT_S = 2.0
"""After an answer: a bot that has said nothing for so long has said all."""

LONGEST_S = 60.0
"""In a group where others talk, a bot that answers may never be silent."""

POLL_S = 0.05

TELEGRAM = "https://api.telegram.org"

NO_SIMULATOR = (
    "no simulated Telegram runs here; start tempogram run without BOT_TOKENS in this folder, "
    "or name one with --simulator"
)

KINDS = (
    *("animation", "photo", "video", "video_note", "audio", "voice", "document", "sticker", "location", "venue"),
    *("contact", "poll", "dice", "invoice", "game"),
)
"""What a message may hold besides a text. An animation is a document, too, so it comes first."""

Json = Mapping[str, Any]


class NotSaid(EngineError):
    """There is no such simulator, bot, chat or button, or the simulator refused something."""


def say(
    bot: Annotated[str, typer.Argument(metavar="BOT", help="The bot's id, username or token.", show_default=False)],
    text: Annotated[str, typer.Argument(help="What is written to it.", show_default=False)] = "",
    user: Annotated[str, typer.Option(help="Who writes; one name is one person.")] = "You",
    chat: Annotated[str, typer.Option(help="A group, by its title, id or @name, instead of the private chat.")] = "",
    press: Annotated[str, typer.Option(help="Press this button, by its text or data, after the answers.")] = "",
    wait: Annotated[
        float | None,
        typer.Option(min=0.1, help=f"End after so many seconds of silence; by default {WAIT_S:g}, then {SILENT_S:g}."),
    ] = None,
    simulator: Annotated[str, typer.Option(help="Address of the simulated Telegram; by default the running one.")] = "",
) -> None:
    """Speak to a bot in the simulated Telegram, and show what it answers; status 1 if it does not."""
    from tempogram.bot.config.settings import load

    if not text and not press:
        raise typer.BadParameter("say what is to be written, or name a button with --press")
    with errors_as_sentences():
        talk = Talk.begin(found_simulator(simulator, load()), bot=bot, user=user, chat=chat, wait_s=wait)
        answered = not text or talk.say(text)
        if press and answered:
            answered = talk.press(press)
    if not answered:
        typer.echo(f"{talk.bot.username} did not answer within {talk.first_s:g} s.", err=True)
        raise typer.Exit(1)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Report what goes wrong at the simulator in this block.

    Raises:
        NotSaid: It ended, or refused what was said.
    """
    try:
        yield
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        raise NotSaid(f"the simulated Telegram does not answer any more ({type(error).__name__})") from error
    except ValueError as error:
        raise NotSaid(f"the simulated Telegram refuses this: {error}") from error


def found_simulator(url: str, settings: Settings) -> Remote:
    """Return the simulator at ``url``, or the one that these settings lead to.

    Raises:
        NotSaid: There is none.
    """
    from tempogram.bot.config.data_dir import noted_simulator
    from tempogram.simulator.sync_client import Remote

    set_url = settings.telegram_api_url if settings.telegram_api_url != TELEGRAM else None
    for each in (url,) if url else (noted_simulator(settings), set_url):
        if each and _answers(telegram := Remote(each.rstrip("/"))):
            return telegram
    raise NotSaid(f"no simulated Telegram answers at {url}" if url else NO_SIMULATOR)


@dataclass(slots=True)
class Talk:
    """What one user and one bot say to each other in one chat.

    Attributes:
        first_s: How long the first answer may take.
        silent_s: How long the bot is silent once it has said all.
    """

    telegram: Remote
    bot: RemoteBot
    user: RemoteUser
    chat: RemoteChat | None
    first_s: float
    silent_s: float
    show: Callable[[str], None] = typer.echo
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _shown: dict[int, Json] = field(default_factory=dict)

    @classmethod
    def begin(cls, telegram: Remote, *, bot: str, user: str, chat: str = "", wait_s: float | None = None) -> Talk:
        """Find the bot and the chat, and the user, or make it.

        Raises:
            NotSaid: There is no such bot or chat, or the bot is not in it.
        """
        found = _bot(telegram, bot)
        return cls(
            telegram,
            found,
            _user(telegram, user),
            _chat(telegram, chat, found) if chat else None,
            first_s=WAIT_S if wait_s is None else wait_s,
            silent_s=SILENT_S if wait_s is None else wait_s,
        )

    @property
    def _place(self) -> RemoteBot | RemoteChat:
        return self.bot if self.chat is None else self.chat

    def say(self, text: str) -> bool:
        """Write a text, and show the answers until the bot is silent; False if there is none."""
        self._shown = self._messages()
        self._show_said(harmless(text))
        self.user.says(self._place, text)
        return self._show_answers(lambda: iter(()))

    def press(self, button: str) -> bool:
        """Press a button of the newest message that has it, and show the answers.

        Raises:
            NotSaid: No message has it.
        """
        self._shown = self._messages()
        for number in sorted(self._shown, reverse=True):
            buttons = buttons_of(self._shown[number])
            if button in {name for each in buttons for name in (each.text, each.data) if each.data}:
                return self._press(number, button)
        raise NotSaid(f"no message of {self.bot.username} here has a button {button!r} that can be pressed")

    def _press(self, number: int, button: str) -> bool:
        self._show_said(f"[{harmless(button)}]")
        query_id = self.user.presses(self._place, number, button)
        is_shown = False

        def answer() -> Iterator[str]:
            nonlocal is_shown
            given = None if is_shown else self.telegram.answer_to(query_id)
            if given is not None:
                is_shown = True
                yield f"{self.bot.username} answers the button{_said(given.get('text'))}"

        return self._show_answers(answer)

    def _show_said(self, what: str) -> None:
        where = "" if self.chat is None else f" in {harmless(self.chat.title)}"
        self.show(f"{harmless(self.user.first_name)} → {self.bot.username}{where}: {what}")

    def _show_answers(self, others: Callable[[], Iterator[str]]) -> bool:
        began_s = self.now_s()
        silent_since_s, answered = began_s, False
        while self.now_s() - silent_since_s < (self.silent_s if answered else self.first_s):
            if answered and self.now_s() - began_s > LONGEST_S:
                break
            for line in (*others(), *self._changes()):
                self.show(line)
                silent_since_s, answered = self.now_s(), True
            self.sleep(POLL_S)
        return answered

    def _changes(self) -> list[str]:
        before, self._shown = self._shown, self._messages()
        if before.keys() - self._shown.keys():  # deleted, or pushed out by newer messages of any chat
            known = self._shown.keys() | set(self._seen("deletions"))
            before = {number: message for number, message in before.items() if number in known}
        return list(changes(before, self._shown, self.bot.username))

    def _messages(self) -> dict[int, Json]:
        """Return what the bot has written here, as it is now."""
        found = self._seen("messages")
        return {each["message_id"]: each for each in found if each.get("from", {}).get("id") == self.bot.bot_id}

    def _seen(self, what: str) -> Any:
        """Return what the bot sees here."""
        chat_id = self.user.user_id if self.chat is None else self.chat.chat_id
        return self.telegram.call("GET", f"{what}?chat={chat_id}&bot={self.bot.bot_id}")


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message. A key of a reply keyboard is none: it writes its text."""

    text: str
    data: str = ""
    url: str = ""


def changes(before: Mapping[int, Json], after: Mapping[int, Json], name: str) -> Iterator[str]:
    """Return in words what a bot has written, changed and deleted."""
    for number, message in after.items():
        if number not in before:
            yield f"{name}{_said(_content(message))}{_shown_buttons(message)}"
        elif message != before[number]:
            yield f"{name} edits{_said(_content(message))}{_shown_buttons(message)}"
    for number in before:
        if number not in after:
            yield f"{name} deletes{_said(_content(before[number]))}"


def buttons_of(message: Json) -> list[Button]:
    return [button for row in _rows(message) for button in row]


def _rows(message: Json) -> list[list[Button]]:
    rows = (message.get("reply_markup") or {}).get("inline_keyboard", [])
    return [
        [Button(each["text"], str(each.get("callback_data", "")), str(each.get("url", ""))) for each in row]
        for row in rows
    ]


def _shown_buttons(message: Json) -> str:
    rows = [
        " ".join(f"[{harmless(each.text)}{f' {each.url}' * bool(each.url)}]" for each in row) for row in _rows(message)
    ]
    return "".join(f"\n  {row}" for row in rows)


def _content(message: Json) -> str:
    if "text" in message:
        return str(message["text"])
    kind = next((kind for kind in KINDS if kind in message), "message")
    return f"({kind}) {message.get('caption', '')}".rstrip()


def _said(text: object) -> str:
    """Return a text after a colon, its further lines indented."""
    return ": " + harmless(str(text)).replace("\n", "\n  ") if text else ""


def _answers(telegram: Remote) -> bool:
    try:
        return bool(telegram.call("GET", "health")["ok"])
    except (OSError, HTTPException, ValueError, TypeError, KeyError, msgspec.MsgspecError):
        return False


def _bot(telegram: Remote, given: str) -> RemoteBot:
    from tempogram.simulator.sync_client import RemoteBot

    name = given.removeprefix("@")
    bots = telegram.call("GET", "bots")
    for bot in bots:
        if name.partition(":")[0] == str(bot["bot_id"]) or name.lower() == bot["username"].lower():
            return RemoteBot(bot["bot_id"], "", bot["username"])
    known = ", ".join(f"{bot['bot_id']} (@{bot['username']})" for bot in bots[:10])
    raise NotSaid(f"there is no bot {name.partition(':')[0]!r} in the simulated Telegram; it has {known or 'none'}")


def _chat(telegram: Remote, given: str, bot: RemoteBot) -> RemoteChat:
    from tempogram.simulator.sync_client import RemoteChat

    chats = telegram.call("GET", "chats")
    for chat in chats:
        if given in {chat["title"], str(chat["chat_id"]), f"@{chat['username']}"}:
            if bot.bot_id not in chat["bots"]:
                raise NotSaid(f"{bot.username} is not in the chat {given!r}")
            return RemoteChat(chat["chat_id"], chat["kind"], chat["title"])
    known = ", ".join(repr(chat["title"]) for chat in chats[:10])
    raise NotSaid(f"there is no chat {given!r} in the simulated Telegram; it has {known or 'none'}")


def _user(telegram: Remote, first_name: str) -> RemoteUser:
    """Return the user of this name that never writes by itself: only answers to what is said here are shown."""
    from tempogram.simulator.sync_client import RemoteUser

    for user in telegram.call("GET", "users"):
        if user["first_name"] == first_name and not user["scripted"]:
            return RemoteUser(user["user_id"], first_name, telegram)
    return telegram.add_user(first_name, scripted=False)
