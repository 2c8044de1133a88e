"""What is known when a run is over. Times are milliseconds since the epoch, by the clock of this one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Key = tuple[int, int, str]
"""Bot, chat and text: no two messages of a run have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """A message that the API accepted.

    Attributes:
        lane: Messages with the same one keep their order; '' for one that is sent at a time of its own.
        number: Its index in that order.
        cancelled_at_ms: When the API answered that it is cancelled; None if it did not.
        ids: Every id that the API gave for its dedup key: one, or the same was accepted twice.
        planned_at_ms: When it was to be submitted, if how long it waits is judged.
    """

    ids: frozenset[str]
    bot_id: int
    chat_id: int
    text: str
    lane: str
    number: int
    is_at_most_once: bool = False
    expires_at_ms: float | None = None
    cancelled_at_ms: float | None = None
    planned_at_ms: float | None = None

    @property
    def key(self) -> Key:
        return self.bot_id, self.chat_id, self.text

    @property
    def message_id(self) -> str:
        return min(self.ids)


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """What the API says of a message in the end. ``outcomes`` are those of its attempts, by our own record."""

    status: str
    outcomes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A call that reached Telegram. ``lost`` names the fault that withheld its answer."""

    at_ms: float
    bot_id: int
    chat_id: int
    text: str
    code: int
    cost: int = 1
    lost: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.code == 200 and self.cost > 0

    @property
    def key(self) -> Key:
        return self.bot_id, self.chat_id, self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A window that Telegram saw broken: ``bot``, ``group``, ``private`` or ``total``."""

    window: str
    at_ms: float
    bot_id: int
    chat_id: int


class Act(StrEnum):
    """What was done to a process or a server, or at Telegram's end."""

    KILLED = "killed"
    FROZEN = "frozen"
    REDIS_CUT = "its connections to Redis were cut"
    REDIS_UNREACHABLE = "it could not reach Redis"
    REDIS_SILENT = "Redis did not answer it"
    POSTGRES_CUT = "its connections to PostgreSQL were cut"
    POSTGRES_UNREACHABLE = "it could not reach PostgreSQL"
    POSTGRES_SILENT = "PostgreSQL did not answer it"
    REDIS_RESTARTED = "Redis was killed and started from its file"
    REDIS_REWOUND = "Redis was killed and started from an older file"
    REDIS_EMPTIED = "Redis was killed and started empty"
    REDIS_AWAY = "Redis was away for longer than a lease"
    REDIS_FLUSHED = "Redis was emptied while it ran"
    POSTGRES_RESTARTED = "PostgreSQL was restarted"
    POSTGRES_CRASHED = "PostgreSQL crashed and was started again"
    BOT_HANGS = "the calls of one bot hung"
    BOTS_HANG = "the calls of half of the bots hung"
    BOT_FAILS = "Telegram answered one bot with 500"
    CHATS_FAIL = "Telegram answered calls to some chats of one bot with 500"
    BOT_RESET = "the connections of one bot's calls were reset"
    HOST_HANGS = "Telegram answered no call"
    HOST_REFUSES = "Telegram refused connections"


OF_ALL_BOTS = frozenset({Act.HOST_HANGS, Act.HOST_REFUSES})


@dataclass(frozen=True, slots=True)
class Disturbance:
    """An act, and how long it lasted; ``target`` is a process's name, or '' for what concerns all of them."""

    act: Act
    target: str
    from_ms: float
    until_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What Telegram did to some bots for a while.

    Attributes:
        act: None for one of the passing faults that come all the time.
        chat_ids: The chats that it concerned; none stands for all chats of these bots.
    """

    act: Act | None
    from_ms: float
    until_ms: float
    bot_ids: frozenset[int]
    chat_ids: frozenset[int] = frozenset()

    def concerns(self, bot_id: int, chat_id: int) -> bool:
        return bot_id in self.bot_ids and (not self.chat_ids or chat_id in self.chat_ids)


@dataclass(frozen=True, slots=True)
class SlowScript:
    """A script over 10 ms in the log of Redis, which goes by the clock.

    Attributes:
        waited_ms: How long that Redis waited for a processor at about that time; the script ran for the rest at least.
    """

    verb: str
    took_ms: float
    waited_ms: float = 0.0

    @property
    def own_ms(self) -> float:
        """How long it had the processor, at least."""
        return max(0.0, self.took_ms - self.waited_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The limits, and how long things may take.

    Attributes:
        in_flight_max: Calls that one process may have under way.
        senders: How many processes send.
        timeout_ms, lease_ms: The engine's.
        recovers_within_ms: After Redis was emptied while it ran.
        script_ms: How long one script may keep others from Redis.
        isolated_ms: How long messages of bots without trouble may wait at p99 while others have it.
        aftermath_ms: So long after a process or server came back that is not judged.
        judged_min: Messages of each priority that must have been judged while others had a kind of trouble.
    """

    bot_limit: int
    bot_window_ms: float
    group_limit: int
    group_window_ms: float
    private_window_ms: float
    private_burst: int
    total_limit: int
    total_window_ms: float
    in_flight_max: int
    senders: int
    timeout_ms: float
    lease_ms: float
    recovers_within_ms: float = 5_000
    script_ms: float = 10
    isolated_ms: float = 500
    aftermath_ms: float = 12_000
    judged_min: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is judged.

    Attributes:
        arrivals: Every call that counts against a limit, oldest first.
        violations: Those that the simulator listed; ``violations_unlisted`` more are only counted.
        own_ends: Processes that ended without being killed.
    """

    promised: Sequence[Promised]
    ended: Mapping[str, MessageEnd]
    arrivals: Sequence[Arrival]
    violations: Sequence[Violation]
    disturbances: Sequence[Disturbance]
    terms: Terms
    violations_unlisted: int = 0
    slow_scripts: Sequence[SlowScript] = field(default_factory=tuple)
    unexpected_ends: Sequence[str] = field(default_factory=tuple)
    troubles: Sequence[Trouble] = field(default_factory=tuple)
