"""Which update is due when: drawn beforehand, so that nothing that happens can put one off."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.harness import token

GROUP_SHARE = 0.2
"""Of the updates. Untuned: enough for a p99, and few enough that no group gets 20 a minute."""

FIRST_USER, FIRST_GROUP = 10_000, -1_002_000_000_000
WARMING_UP = "good morning"


@dataclass(frozen=True, slots=True)
class PlannedUpdate:
    """A user's text. ``due_ms`` is counted from the beginning; ``is_addressed``: its answer is of priority high."""

    number: int
    due_ms: float
    bot_id: int
    chat_id: int
    user_id: int
    is_addressed: bool = False

    @property
    def is_in_group(self) -> bool:
        return self.chat_id < 0

    def text(self, username: str) -> str:
        """Return what the user writes, which the bot repeats; no two updates have the same."""
        mention = f"@{username} " if self.mentions else ""
        return f"{mention}question {self.number}"

    @property
    def mentions(self) -> bool:
        return self.is_addressed and self.number % 2 == 0

    def body(self, username: str, *, now_s: int) -> dict[str, Any]:
        """Return the update as Telegram writes it."""
        user = {"id": self.user_id, "is_bot": False, "first_name": f"User {self.user_id}"}
        message = {
            "message_id": self.number + 2,
            "date": now_s,
            "from": user,
            "chat": self._chat(),
            "text": self.text(username),
        }
        if self.mentions:
            message["entities"] = [{"type": "mention", "offset": 0, "length": len(username) + 1}]
        elif self.is_addressed:
            sender = {"id": self.bot_id, "is_bot": True, "first_name": "Bot", "username": username}
            message["reply_to_message"] = {
                "message_id": 1,
                "date": now_s,
                "from": sender,
                "chat": self._chat(),
                "text": "hello",
            }
        return {"update_id": self.number + 1, "message": message}

    def _chat(self) -> dict[str, Any]:
        if self.is_in_group:
            return {"id": self.chat_id, "type": "supergroup", "title": f"Group {self.chat_id}"}
        return {"id": self.chat_id, "type": "private", "first_name": f"User {self.user_id}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How much comes how fast.

    Attributes:
        rate: Updates a second over all bots.
        ceiling: Answers a second over all bots; 0 for any number.
    """

    seconds: float = 60.0
    rate: float = 50.0
    bots: int = 50
    users: int = 100
    bots_a_user: int = 5
    groups_a_bot: int = 2
    ceiling: int = 0
    seed: int = 1

    @property
    def bot_ids(self) -> range:
        return range(1, self.bots + 1)

    @property
    def tokens(self) -> list[str]:
        return [token(bot_id) for bot_id in self.bot_ids]

    def updates(self) -> list[PlannedUpdate]:
        """Return all updates in the order in which they are due; the same seed draws the same ones."""
        chance = random.Random(self.seed)
        total = round(self.rate * self.seconds)
        due_ms = sorted(chance.uniform(0, self.seconds * 1_000) for _ in range(total))
        bots_of_users = [chance.sample(self.bot_ids, min(self.bots_a_user, self.bots)) for _ in range(self.users)]
        return [self._update(number, at_ms, bots_of_users, chance) for number, at_ms in enumerate(due_ms)]

    def warming_up(self) -> list[PlannedUpdate]:
        """Return one update of each bot, in a chat that the others do not use."""
        first = round(self.rate * self.seconds)
        return [
            PlannedUpdate(first + bot_id, 0.0, bot_id, chat_id=bot_id + 1_000, user_id=bot_id + 1_000)
            for bot_id in self.bot_ids
        ]

    def _update(
        self, number: int, due_ms: float, bots_of_users: Sequence[Sequence[int]], chance: random.Random
    ) -> PlannedUpdate:
        user = chance.randrange(self.users)
        user_id = FIRST_USER + user
        if chance.random() < GROUP_SHARE:
            bot_id = chance.choice(self.bot_ids)
            chat_id = FIRST_GROUP - bot_id * self.groups_a_bot - chance.randrange(self.groups_a_bot)
            return PlannedUpdate(number, due_ms, bot_id, chat_id, user_id, is_addressed=True)
        return PlannedUpdate(number, due_ms, chance.choice(bots_of_users[user]), user_id, user_id)
