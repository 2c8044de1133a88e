"""The amounts and times of a demo."""

from __future__ import annotations

from dataclasses import dataclass

from tempogram.simulator.limits.faults import Fault

BOTS = 5
POLLED = 2
"""How many of the bots poll, the first ones; the others have webhooks."""

CEILING = 30
"""Messages a second over all bots."""

GROUP_LIMIT = 20
"""Messages to a group in ``DemoSettings.group_window_s``."""

BULK_CHAT = 10_000
CAST_CHAT = 30_000
WATCHING_CHAT = 40_000
URGENT_CHAT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """The amounts and times; it takes some 40 s: 810 messages at 30 a second, and two starts of an engine.

    Telegram's 20 messages to a group in 60 s are 20 in ``group_window_s`` here, so that a demo does not take minutes.
    """

    bulk: int = 600
    flood: int = 60
    urgent: int = 16
    questions: int = 12
    cast: int = 100
    """Chats that a broadcast goes to."""

    watching: int = 20
    """Chats that watch two prices."""

    every_s: float = 1.5
    """Between two urgent messages, and between two questions."""

    kill_at_s: float = 6.0
    group_window_s: int = 10
    urgent_within_s: float = 2.0
    """The longest promised wait of an urgent message while the engine runs. A bulk of 600 takes 20 s."""

    @property
    def messages(self) -> int:
        return self.bulk + self.flood + self.urgent + self.questions + self.cast + self.watching

    @property
    def blocked_chat(self) -> int:
        """The chat whose user blocks the bot that will write to it."""
        return self.bulk_chat(self.bulk * 7 // 10)

    def bulk_chat(self, number: int) -> int:
        return BULK_CHAT + number

    def latency(self) -> Fault:
        """Delay every answer, as over the internet, so that calls are in flight at the kill."""
        return Fault(kind="latency", delay_ms=80, jitter_ms=15, where="out")

    def failures(self) -> list[Fault]:
        """Return the injected faults: each on a message of the bulk, early, near the kill and late."""
        throttled = [self._at(share) for share in (0.05, 0.32, 0.6)]
        failing = [(self._at(share), status) for share, status in ((0.02, 500), (0.2, 502), (0.5, 503), (0.8, 504))]
        return [
            *(Fault(kind="429", chat_id=chat, times=1, retry_after_s=3) for chat in throttled),
            *(Fault(kind="5xx", chat_id=chat, times=1, status=status) for chat, status in failing),  # type: ignore[arg-type]
        ]

    def _at(self, share: float) -> int:
        return self.bulk_chat(int(self.bulk * share))
