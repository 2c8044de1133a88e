"""The client of a running simulator for tests: plain calls, with or without an event loop, from any thread.

Everything goes through the control API, so it is the same whether the simulator runs in a thread of this
process (``served_in_thread``) or in a process of its own (``served_in_process``). A call takes about a
millisecond and never waits for the program under test; only ``wait_for`` does.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.report import Report
from tempogram.simulator.server.control import CALLS_LIMIT
from tempogram.simulator.server.server import Simulator
from tempogram.simulator.settings import SimulatorSettings

Json = dict[str, Any]

START_TIMEOUT_S = 15
END_TIMEOUT_S = 5
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class RemoteBot:
    """A bot that the simulator knows."""

    bot_id: int
    token: str
    username: str


@dataclass(frozen=True, slots=True)
class RemoteChat:
    """A group, supergroup or channel."""

    chat_id: int
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class RemoteUser:
    """A user; ``user_id`` is also the id of the private chat with any bot. See ``world.User``."""

    user_id: int
    first_name: str
    telegram: "Remote"

    def says(self, where: RemoteBot | RemoteChat, text: str, *, reply_to: int | None = None) -> int:
        """Write to a bot or into a group, and return the message's id."""
        answer = self._does("say", where, text=text, reply_to=reply_to)
        message_id: int = answer["message_ids"][0]
        return message_id

    def edits(self, where: RemoteBot | RemoteChat, message_id: int, text: str) -> None:
        """Change a message of one's own."""
        self._does("edit", where, message_id=message_id, text=text)

    def presses(self, where: RemoteBot | RemoteChat, message_id: int, button: str) -> str:
        """Press an inline button, by its data or its text; the id goes to ``Remote.answer_to``."""
        query_id: str = self._does("press", where, message_id=message_id, button=button)["id"]
        return query_id

    def sends(self, where: RemoteBot | RemoteChat, kind: str, *, times: int = 1, caption: str = "") -> list[int]:
        """Send a photo or another kind of file, more than one as an album, and return the ids of the messages."""
        answer = self._does("files", where, kind=kind, times=times, caption=caption)
        message_ids: list[int] = answer["message_ids"]
        return message_ids

    def asks_inline(self, bot: RemoteBot, text: str, *, offset: str = "") -> str:
        """Type the bot's name and some words; the inline query's id goes to ``Remote.answer_to``."""
        query_id: str = self._does("inline", bot, text=text, offset=offset)["id"]
        return query_id

    def chooses(self, bot: RemoteBot, result: str, text: str) -> str:
        """Send one of the results of an inline query, and return its ``inline_message_id``."""
        inline_message_id: str = self._does("choose", bot, result=result, text=text)["inline_message_id"]
        return inline_message_id

    def pays(self, where: RemoteBot | RemoteChat, message_id: int) -> str:
        """Pay an invoice: a message says so once the bot confirms it; the id goes to ``Remote.answer_to``."""
        query_id: str = self._does("pay", where, message_id=message_id)["id"]
        return query_id

    def joins(self, group: RemoteChat) -> int:
        """Join a group, and return the id of the message that says so."""
        message_id: int = self._does("join", group)["message_ids"][0]
        return message_id

    def blocks(self, bot: RemoteBot) -> None:
        """Block a bot: it gets an update of it, and can write no more."""
        self._is_with(bot, None, member=False)

    def unblocks(self, bot: RemoteBot) -> None:
        """Let a bot write again."""
        self._is_with(bot, None, member=True)

    def adds(self, bot: RemoteBot, chat: RemoteChat) -> None:
        """Make a bot a member of a group."""
        self._is_with(bot, chat, member=True)

    def removes(self, bot: RemoteBot, chat: RemoteChat) -> None:
        """Remove a bot from a group."""
        self._is_with(bot, chat, member=False)

    def _does(self, what: str, where: RemoteBot | RemoteChat, **details: object) -> Json:
        place = {"bot": where.bot_id} if isinstance(where, RemoteBot) else {"chat": where.chat_id}
        answer: Json = self.telegram.call("POST", what, {"user": self.user_id} | place | details)
        return answer

    def _is_with(self, bot: RemoteBot, chat: RemoteChat | None, *, member: bool) -> None:
        where = None if chat is None else chat.chat_id
        body = {"user": self.user_id, "bot": bot.bot_id, "chat": where, "member": member}
        self.telegram.call("POST", "members", body)


@dataclass(slots=True)
class Remote:
    """A simulator that serves at ``url``, the Bot API's base for any client."""

    url: str
    _numbers: "count[int]" = field(default_factory=lambda: count(1001))

    def add_bot(self, token: str = "", username: str = "", *, privacy: bool = False) -> RemoteBot:
        """Register a bot; without a token one is made up."""
        token = token or f"{next(self._numbers)}:simulated"
        bot_id: int = self.call("POST", "bots", {"token": token, "username": username, "privacy": privacy})["ids"][0]
        (name,) = (bot["username"] for bot in self.call("GET", "bots") if bot["bot_id"] == bot_id)
        return RemoteBot(bot_id, token, name)

    def add_chat(
        self, kind: str = "supergroup", title: str = "Group", *, bots: Sequence[RemoteBot] = (), **details: object
    ) -> RemoteChat:
        """Register a group, supergroup or channel with bots in it; ``details``: see ``World.add_chat``."""
        body = {"kind": kind, "title": title, "bots": [bot.bot_id for bot in bots]} | details
        return RemoteChat(self.call("POST", "chats", body)["ids"][0], kind, title)

    def add_user(self, first_name: str = "Anna", **details: object) -> RemoteUser:
        """Register a user; ``details``: ``user_id``, ``username``, ``scripted``."""
        user_id: int = self.call("POST", "users", {"first_name": first_name} | details)["ids"][0]
        return RemoteUser(user_id, first_name, self)

    def order(self, *faults: Fault) -> list[int]:
        """Let something go wrong, and return the numbers of the rules."""
        ids: list[int] = self.call("POST", "faults", [asdict(fault) for fault in faults])["ids"]
        return ids

    def end_faults(self) -> None:
        """Let nothing go wrong any more."""
        self.call("DELETE", "faults")

    def migrate(self, chat: RemoteChat) -> RemoteChat:
        """Make a supergroup of a group."""
        return RemoteChat(self.call("POST", "migrate", {"chat": chat.chat_id})["id"], "supergroup", chat.title)

    def change(self, **settings: object) -> None:
        """Change some of the settings, see ``SimulatorSettings``."""
        self.call("PATCH", "settings", settings)

    def reset(self) -> None:
        """Forget windows, faults and the record; bots, chats and updates stay."""
        self.call("POST", "reset")

    def report(self) -> Report:
        """Sum up what happened."""
        return msgspec.convert(self.call("GET", "report"), Report)

    def calls(self, method: str = "") -> list[Json]:
        """List what arrived, oldest first; ``method`` only such calls."""
        calls: list[Json] = []
        while True:
            since = calls[-1]["index"] + 1 if calls else 0
            page = self.call("GET", f"calls?since={since}&limit={CALLS_LIMIT}")
            calls += page
            if len(page) < CALLS_LIMIT:
                break
        return [call for call in calls if not method or call["method"] == method]

    def messages(self, chat_id: int) -> list[Json]:
        """List what a chat shows now, as Telegram's messages, oldest first."""
        messages: list[Json] = self.call("GET", f"messages?chat={chat_id}")
        return messages

    def answer_to(self, query_id: str) -> Json | None:
        """Return what the bot answered to a button, an inline query or a payment, None if nothing yet."""
        answer: Json | None = self.call("GET", f"queries?id={quote(query_id)}")["answer"]
        return answer

    def wait_for(self, method: str, *, times: int = 1, within_s: float = 5) -> list[Json]:
        """Wait until a method was called and accepted so often, and return these calls.

        In a test that is a coroutine: ``await asyncio.to_thread(telegram.wait_for, "sendMessage")``.

        Raises:
            TimeoutError: It was not.
        """
        until_s = time.monotonic() + within_s
        while True:
            accepted = [call for call in self.calls(method) if call["code"] == 200]
            if len(accepted) >= times:
                return accepted
            if time.monotonic() > until_s:
                raise TimeoutError(f"{method} was accepted {len(accepted)} times within {within_s} s, not {times}")
            time.sleep(POLL_S)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one call of the control API.

        Raises:
            ValueError: The simulator refused it; the text is its sentence.
        """
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=START_TIMEOUT_S)
        try:
            connection.request(method, f"/_sim/{path}", None if body is None else msgspec.json.encode(body))
            response = connection.getresponse()
            answer = msgspec.json.decode(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer


@contextmanager
def served_in_thread(settings: SimulatorSettings | None = None) -> Iterator[Remote]:
    """Serve a fresh simulator on a free port until the block ends, on an event loop of its own."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ending = asyncio.Event()
        async with Simulator(settings or SimulatorSettings()).serve() as served:
            started.set_result((served.url, asyncio.get_running_loop(), ending))
            await ending.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="simulated Telegram", daemon=True)
    thread.start()
    url, loop, ending = started.result(START_TIMEOUT_S)
    try:
        yield Remote(url)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()


@contextmanager
def served_in_process(**settings: object) -> Iterator[Remote]:
    """Run ``python -m tempogram.simulator`` on a free port until the block ends.

    Raises:
        RuntimeError: It did not start; the reason stands on standard error.
    """
    chosen = [word for name, value in settings.items() for word in ("--set", f"{name}={_spelled(value)}")]
    command = [sys.executable, "-m", "tempogram.simulator", *chosen]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RuntimeError("the simulator did not start")
            yield Remote(json.loads(line)["url"])
        finally:
            _end(process)


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
