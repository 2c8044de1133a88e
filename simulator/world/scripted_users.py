"""Users that write by themselves, so that a first start has something to show."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field

from tempogram.simulator.world.world import Bot, Chat, User, World

TEXTS = (
    "good morning",
    "has anyone seen the new timetable?",
    "what is the time?",
    "thank you",
    "see you tomorrow",
    "that is a good question",
)
COMMANDS = ("/start", "/help")
NAMES = ("Anna", "Boris", "Chloe", "Daniel", "Elena", "Farid", "Greta", "Hugo")


@dataclass(slots=True)
class ScriptedUsers:
    """Lets all scripted users of the world write now and then; the pauses are exponential."""

    world: World
    chance: random.Random = field(default_factory=random.Random)
    _task: asyncio.Task[None] | None = None

    async def start(self, *, mean_interval_ms: int, users: int = 3) -> None:
        """Begin, with at least so many users; if they write already, only the pace changes."""
        await self.stop()
        for number in range(len(self._scripted()), users):
            self.world.add_user(NAMES[number % len(NAMES)])
        self._task = asyncio.create_task(self._talk(mean_interval_ms))

    async def stop(self) -> None:
        """Let them write nothing more."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def talk_once(self) -> bool:
        """Let one user write; False if there is no user, or neither a bot nor a group."""
        targets: list[Chat | Bot] = [chat for chat in self.world.chats.values() if chat.bots and chat.chat_id < 0]
        targets += self.world.bots.values()
        users = self._scripted()
        if not users or not targets:
            return False
        user = self.chance.choice(users)
        self._say(user, self.chance.choice(targets))
        return True

    def _scripted(self) -> list[User]:
        return [user for user in self.world.users.values() if user.scripted]

    async def _talk(self, mean_interval_ms: int) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1_000 / mean_interval_ms))
            self.talk_once()

    def _say(self, user: User, target: Chat | Bot) -> None:
        bot = target if isinstance(target, Bot) else self._member(target)
        if bot is None:
            return
        chat_id = user.user_id if isinstance(target, Bot) else target.chat_id
        last_said = self.world.messages.last_of_bot.get((bot.bot_id, chat_id))
        match self.chance.choice(("text", "text", "command", "mention", "reply")):
            case "command":
                user.says(target, self.chance.choice(COMMANDS))
            case "mention":
                user.says(target, f"@{bot.username} {self.chance.choice(TEXTS)}")
            case "reply" if last_said is not None:
                user.says(target, self.chance.choice(TEXTS), reply_to=last_said)
            case _:
                user.says(target, self.chance.choice(TEXTS))

    def _member(self, chat: Chat) -> Bot | None:
        members = [self.world.bots[bot_id] for bot_id in chat.bots if bot_id in self.world.bots]
        return self.chance.choice(members) if members else None
