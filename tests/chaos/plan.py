"""How large a run is, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.chaos.evidence import Act, Terms

ROLES = ("api", "worker", "worker", "scheduler")

TERMS = Terms(
    bot_limit=30,
    bot_window_ms=1_000,
    group_limit=5,
    group_window_ms=5_000,
    private_window_ms=1_000,
    private_burst=3,
    total_limit=150,
    total_window_ms=1_000,
    in_flight_max=30,
    senders=2,
    timeout_ms=2_000,
    lease_ms=4_000,
    judged_min=50,
)
"""Telegram's limits, those of groups and the ceiling scaled to what a short run can fill. ``judged_min`` is for a run
of ``FULL_MINUTES``, which judges about a hundred messages of each priority during each kind of act."""

FULL_MINUTES = 10


def terms_of(minutes: float) -> Terms:
    """Return the terms of a run: a shorter one judges fewer messages."""
    return replace(TERMS, judged_min=round(TERMS.judged_min * min(1.0, minutes / FULL_MINUTES)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run. The same seed draws the same acts; their exact times depend on the machine.

    Attributes:
        rate: Messages a second over all chats, on an average. With what is judged and the backlogs some 70, which
            leaves room under the ceiling to catch up soon with what waited while the host was away.
        pause_s: Between one act and the next, on an average.
        trouble_s: How long one at Telegram's end lasts. It is some time after what else was done, so that it can be
            judged by itself: ``terms.aftermath_ms``.
        probes_a_bot_s: Messages a second of each judged bot whose waits are judged, half of them high and half normal.
        drains_within_s: What still waits after the last disturbance ends within this time.
    """

    seconds: float
    seed: int
    bots: int = 20
    chats_a_bot: int = 25
    rate: float = 30.0
    pause_s: float = 4.0
    trouble_s: float = 8.0
    probes_a_bot_s: float = 2.0
    drains_within_s: float = 120.0
    roles: tuple[str, ...] = ROLES
    acts: tuple[Act, ...] = tuple(Act)
    terms: Terms = TERMS

    @property
    def tokens(self) -> list[str]:
        return [f"{bot_id}:chaos-bot-{bot_id}" for bot_id in self.bot_ids]

    @property
    def bot_ids(self) -> range:
        return range(1, self.bots + 1)

    @property
    def judged_bots(self) -> range:
        """Return the bots whose waits are judged; nothing but the acts befalls them.

        A 429 without a reason would lower a bot's limit, and a lost answer let its next trial wait for longer.
        """
        return self.bot_ids[: self.bots // 2]

    @property
    def bots_with_faults(self) -> range:
        """Return the bots whose calls now and then fail for a moment."""
        return self.bot_ids[self.bots // 2 :]

    def chats(self, bot_id: int) -> list[int]:
        """Return private chats and groups, about as many of each."""
        numbers = range(bot_id * 1_000, bot_id * 1_000 + self.chats_a_bot)
        return [number if number % 2 else -1_000_000 - number for number in numbers]

    def chats_of_probes(self, bot_id: int) -> list[int]:
        """Return private chats, so many that none comes near its limit, with what waited during a trouble neither."""
        return list(range(bot_id * 1_000 + 900, bot_id * 1_000 + 916))

    def chats_of_backlog(self, bot_id: int) -> list[int]:
        """Return private chats that get more than can be sent while their bot has trouble."""
        return list(range(bot_id * 1_000 + 500, bot_id * 1_000 + 550))

    @property
    def has_redis(self) -> bool:
        return set(self.roles) != {"run"}

    @property
    def simulator(self) -> Mapping[str, int]:
        """Return the limits of the simulated Telegram."""
        terms = self.terms
        return {
            "bot_limit": terms.bot_limit,
            "group_limit": terms.group_limit,
            "group_window_ms": round(terms.group_window_ms),
            "private_burst": terms.private_burst,
            "total_limit": terms.total_limit,
            "bot_penalty_s": 2,
        }

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the same limits as settings of the engine, and a lease that a short run can outlive."""
        terms = self.terms
        return {
            "LOG_LEVEL": "WARNING",
            "TELEGRAM_GROUP_LIMIT": str(terms.group_limit),
            "TELEGRAM_GROUP_LIMIT_WINDOW_S": str(terms.group_window_ms / 1_000),
            "TELEGRAM_GLOBAL_LIMIT": str(terms.total_limit),
            "TELEGRAM_CHAT_BURST": str(terms.private_burst),
            "TELEGRAM_CONNECTIONS": str(terms.in_flight_max),
            "TELEGRAM_TIMEOUT": str(terms.timeout_ms / 1_000),
            "TELEGRAM_LEASE_MARGIN": str((terms.lease_ms - terms.timeout_ms) / 1_000),
            "TELEGRAM_MAX_RETRIES": "10",
            "TELEGRAM_BASE_DELAY": "0.1",
            "TELEGRAM_MAX_DELAY": "1",
        }
