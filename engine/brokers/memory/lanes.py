"""Whose turn it is, between priorities, bots and chats; and what the queue remembers of each.

    Group    a priority          lines of its bots, by pass
    Line     a bot's priority    lanes of its chats, by pass; offers its front message
    Lane     a chat's priority   ids of its messages, oldest first
    Entry    a message           waiting, or leased under a number

What is uncounted (messages of cost 0) has groups, lines and lanes of its own. It takes turns with the rest, because it
needs a connection too; but it takes no place, and neither waits for the chat's message in flight nor is one.

There may be a million chats, lanes and entries. So they are structs at which Python's garbage collector does not look,
and what forgets a chat cuts what points to one another (``Chat.let_go``).

The heaps hold keys that may have gone stale; an entry of a heap counts only while
its owner still bears that very key. So nothing is ever searched for in a heap.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush

from msgspec import Struct

from tempogram.engine.limits.aimd import AdaptiveLimit
from tempogram.engine.limits.failing import Health
from tempogram.engine.limits.fair_queue import STRIDE, FairQueue
from tempogram.engine.limits.limits import SPACING_PRIORITIES
from tempogram.engine.limits.spacing import Spacing
from tempogram.engine.limits.weighted_window import WeightedWindow
from tempogram.engine.limits.windows import Gate
from tempogram.engine.model.messages import PRIORITIES, ChatId, Outgoing, Priority

LineKey = tuple[int, int, "Line"]
"""How a line stands among those of its priority that may go: its pass, its bot, and itself."""


class Entry(Struct, gc=False, eq=False):
    """A message that waits or is leased; leased while ``number`` is not 0.

    Attributes:
        position: In its lane: its id, or that of the first message that it replaced.
        user: If users have a limit.
        attempt: Spent ones.
        pays: While it is leased: it went as a paid one.
    """

    message: Outgoing
    lane: Lane
    position: str
    user: User | None
    attempt: int
    tried: bool
    is_due: bool = False
    pays: bool = False
    number: int = 0
    lease_until_ms: int = 0

    @property
    def is_special(self) -> bool:
        """Tell whether it takes anything but one free place of its bot, or none."""
        return self.message.is_paid or self.message.cost > 1

    def become(self, message: Outgoing) -> None:
        """Stand for another message."""
        self.message = message


def entry_of(message: Outgoing, lane: Lane, position: str, user: User | None) -> Entry:
    return Entry(message, lane, position, user, message.attempt, message.attempt > 0)


NO_ENTRIES: dict[str, Entry] = {}
"""Of the many lanes and chats with nothing of the kind; never written."""

NO_POSITIONS: list[str] = []
"""Of the many lanes in which one message waits, or none; never written."""

LaneKey = tuple[int, str, "Lane"]
"""Pass, position of its head, lane."""


class Lane(Struct, gc=False, eq=False):
    """One chat's waiting messages of one priority.

    Most lanes of a long backlog have one message, which is kept without a heap: that would take a hundred bytes.

    Attributes:
        positions: A heap, if there are others than ``alone``; may name messages that are gone.
        stand_ins: By position, those whose id is another.
        alone: The one message that waits.
        size: How many wait.
        wait_until_ms: A retry's backoff.
        key: In one of the heaps of its line, while it may go.
        offered: Its head, while it may go.
    """

    chat: Chat
    line: Line
    positions: list[str]
    stand_ins: dict[str, Entry]
    alone: Entry | None = None
    size: int = 0
    turn: int = 0
    wait_until_ms: int = 0
    key: LaneKey | None = None
    offered: Entry | None = None
    wake_at_ms: int | None = None

    def __lt__(self, other: Lane) -> bool:
        """Let two keys that differ in nothing else stand in any order: one of them has gone stale."""
        return False

    def push(self, entry: Entry) -> None:
        """Add a message to those that wait, before it is counted."""
        if not self.size:
            self.alone = entry
            return
        if self.alone is not None:
            self.positions = [self.alone.position]
            self.alone = None
        heappush(self.positions, entry.position)

    def pop(self) -> None:
        """Take out the head, before it is discounted."""
        if self.alone is None:
            heappop(self.positions)

    def clear(self) -> None:
        """Forget all positions, as nothing waits any more."""
        self.alone = None
        self.positions = NO_POSITIONS

    def all_waiting(self, entries: dict[str, Entry]) -> list[Entry]:
        """Return all that wait, in no order."""
        if self.alone is not None:
            return [self.alone]
        at_each = [(self.stand_ins.get(position), entries.get(position)) for position in set(self.positions)]
        return [entry for both in at_each for entry in both if entry is not None and self._has_waiting(entry)]

    def stand_in(self, entry: Entry) -> None:
        """Note under its position an entry whose message has another id."""
        if self.stand_ins is NO_ENTRIES:
            self.stand_ins = {}
        self.stand_ins[entry.position] = entry

    def head(self, entries: dict[str, Entry]) -> Entry | None:
        alone = self.alone
        if alone is not None:
            return alone if alone.is_due else None
        positions = self.positions
        while positions:
            entry = self.at(positions[0], entries)
            if entry is not None:
                return entry
            heappop(positions)
        return None

    def at(self, position: str, entries: dict[str, Entry]) -> Entry | None:
        """Return the message that waits at a position; None if none does.

        There are two where a message was replaced and then admitted again, as by a rebuild that read it just before:
        the one that took its position, and itself.
        """
        entry = self.stand_ins.get(position)
        if entry is not None and self._has_waiting(entry):
            return entry
        entry = entries.get(position)
        return entry if entry is not None and self._has_waiting(entry) else None

    def _has_waiting(self, entry: Entry) -> bool:
        return entry.lane is self and entry.is_due and not entry.number

    @property
    def is_in_failed_chat(self) -> bool:
        """Tell whether its chat has failed; what is uncounted is no part of that."""
        return self.chat.has_failed and self.line.is_counted

    def is_forgettable(self, now_ms: int) -> bool:
        return self.wait_until_ms <= now_ms and self.line.turns.is_past(self.turn)


class Line:
    """One bot's lanes of one priority."""

    __slots__ = (
        "bot",
        "failed",
        "failed_paid",
        "group",
        "index",
        "is_counted",
        "is_spaced",
        "key",
        "lanes",
        "offered",
        "paid",
        "priority",
        "ready",
        "turn",
        "turn_in_bot",
        "turns",
    )

    def __init__(self, bot: BotState, group: Group, priority: Priority) -> None:
        self.bot = bot
        self.group = group
        self.priority = priority
        self.index = PRIORITIES.index(priority)
        self.is_counted = group.is_counted
        self.is_spaced = group.is_counted and priority in SPACING_PRIORITIES
        self.turns = FairQueue(entry=STRIDE)
        self.turn = 0  # among the bots of its priority
        self.turn_in_bot = 0  # among the priorities of its bot
        self.lanes = 0  # that have something waiting
        self.ready: list[LaneKey] = []
        self.paid: list[LaneKey] = []  # those that may go with a message that is to be paid for
        self.failed: list[LaneKey] = []  # those of chats that have failed
        self.failed_paid: list[LaneKey] = []
        self.key: LineKey | None = None  # in ``group.ready``, while it may go
        self.offered: Entry | None = None  # one of its fronts, while it may go

    def offer(self, lane: Lane, head: Entry) -> None:
        lane.offered = head
        key = lane.key
        if key is None or key[0] != lane.turn or key[1] != head.position:
            lane.key = (lane.turn, head.position, lane)
            if lane.is_in_failed_chat:
                heappush(self.failed_paid if head.message.is_paid else self.failed, lane.key)
            else:
                heappush(self.paid if head.message.is_paid else self.ready, lane.key)

    def front(self, *, paid: bool = False) -> Entry | None:
        """Return the message whose turn it is, of the free or of the paid ones."""
        ready, failed = (self.paid, self.failed_paid) if paid else (self.ready, self.failed)
        if failed:
            return self._front_of_both(ready, failed)
        while ready:
            key = ready[0]
            lane = key[2]
            if lane.key is key:
                return lane.offered
            heappop(ready)
        return None

    def _front_of_both(self, ready: list[LaneKey], failed: list[LaneKey]) -> Entry | None:
        """Return the one whose turn it is; while the bot is failing, one of the chats that are tried now."""
        bot = self.bot
        keys = [_first(ready), _first(failed)]
        if bot.health.failing is not None:
            keys = [keys[bot.tries_failed]]
        first = min((key for key in keys if key is not None), default=None)
        return None if first is None else first[2].offered

    def has_untroubled(self) -> bool:
        """Tell whether a lane may go whose chat has not failed."""
        return _first(self.ready) is not None or _first(self.paid) is not None

    def clear(self) -> None:
        """Forget all lanes, as none of them has anything waiting."""
        self.key = self.offered = None
        self.ready.clear()
        self.paid.clear()
        if self.failed or self.failed_paid:
            self.failed.clear()
            self.failed_paid.clear()

    def fronts(self) -> list[Entry]:
        """Return both, the one whose turn it is first."""
        fronts = [front for paid in (False, True) if (front := self.front(paid=paid)) is not None]
        return sorted(fronts, key=lambda front: (front.lane.turn, front.position))

    def rank(self) -> tuple[int, int]:
        """Return its rank among the lines of its bot, the first to save up first."""
        return self.bot.turns.rank(self.turn_in_bot), self.index


def _first(heap: list[LaneKey]) -> LaneKey | None:
    while heap:
        key = heap[0]
        if key[2].key is key:
            return key
        heappop(heap)
    return None


class Group:
    """All lines of one priority: those that are counted, or the others."""

    __slots__ = ("is_counted", "lines", "priority", "ready", "share", "turn", "turns")

    def __init__(self, priority: Priority, share: int, *, is_counted: bool) -> None:
        self.priority = priority
        self.is_counted = is_counted
        self.share = share
        self.turns = FairQueue()
        self.turn = 0
        self.lines = 0  # that have something waiting
        self.ready: list[LineKey] = []

    def offer(self, line: Line) -> None:
        if line.key is None or line.key[0] != line.turn:
            line.key = (line.turn, line.bot.bot_id, line)
            heappush(self.ready, line.key)

    def front(self) -> Line | None:
        ready = self.ready
        while ready:
            key = ready[0]
            line = key[2]
            if line.key is key:
                return line
            heappop(ready)
        return None


NO_LANES: dict[Priority, Lane] = {}
"""Of the many chats without an uncounted message; never written."""

NO_EDITS: dict[str, list[Entry]] = {}
"""Of the many chats without an edit; never written. (A backlog may have a chat for each message.)"""


class Chat(Struct, gc=False, eq=False):
    """What a bot knows of one chat; forgotten when nothing distinguishes it from a new one.

    Attributes:
        later: Messages that are not due yet.
        edits: What waits by its ``replaces``, oldest first.
        gate: From its first place on, if it has a limit; see ``Queue.gate_of``.
        adapted: While its limit is lowered.
        has_failed: Since its last success; counts only while it is busy.
        doubt_until_ms: Until then a 429 that our own count of this chat does not explain makes it doubtful.
    """

    bot: BotState
    chat_id: ChatId | None
    uncounted_lanes: dict[Priority, Lane]
    later: dict[str, Entry]
    edits: dict[str, list[Entry]]
    lanes: tuple[Lane, ...] = ()
    gate: Gate | None = None
    adapted: AdaptiveLimit | None = None
    hold_until_ms: int = 0
    has_failed: bool = False
    in_flight: int = 0
    uncounted_in_flight: int = 0
    doubt_until_ms: int = 0
    waiting: int = 0
    forget_at_ms: int | None = None

    def lane(self, message: Outgoing) -> Lane:
        if message.cost:
            return self.counted_lane(message.priority)
        return self._uncounted_lane(message.priority)

    def counted_lane(self, priority: Priority) -> Lane:
        for lane in self.lanes:
            if lane.line.priority is priority:
                return lane
        lane = Lane(self, self.bot.lines[priority], NO_POSITIONS, NO_ENTRIES)
        self.lanes = (*self.lanes, lane)
        return lane

    def _uncounted_lane(self, priority: Priority) -> Lane:
        lane = self.uncounted_lanes.get(priority)
        if lane is None:
            lane = Lane(self, self.bot.uncounted_line(priority), NO_POSITIONS, NO_ENTRIES)
            self.uncounted_lanes = {**self.uncounted_lanes, priority: lane}
        return lane

    def all_lanes(self) -> list[Lane]:
        return [*self.lanes, *self.uncounted_lanes.values()]

    def postpone(self, entry: Entry) -> None:
        """Note a message that is not due yet."""
        if self.later is NO_ENTRIES:
            self.later = {}
        self.later[entry.message.id] = entry

    @property
    def is_busy(self) -> bool:
        """Tell whether anything of it waits or is in flight."""
        return self.waiting > 0 or self.in_flight > 0

    def note_edit(self, entry: Entry) -> None:
        key = entry.message.replaces
        if key is not None:
            if self.edits is NO_EDITS:
                self.edits = {}
            insort(self.edits.setdefault(key, []), entry, key=lambda each: each.message.id)

    def forget_edit(self, entry: Entry) -> None:
        key = entry.message.replaces
        if key is not None:
            self.edits[key].remove(entry)
            if not self.edits[key]:
                del self.edits[key]

    def replaced_by(self, message: Outgoing) -> Entry | None:
        """Return the newest that waits with its ``replaces``, if it is of the same method."""
        edits = None if message.replaces is None else self.edits.get(message.replaces)
        return edits[-1] if edits and edits[-1].message.method == message.method else None

    def let_go(self) -> None:
        """Cut what points to one another: the garbage collector looks at none of it."""
        for lane in self.all_lanes():
            lane.clear()
            lane.key = lane.offered = None
            lane.stand_ins = NO_ENTRIES
        self.lanes = ()
        self.uncounted_lanes = NO_LANES
        self.later = NO_ENTRIES
        self.edits = NO_EDITS

    def is_forgettable(self, now_ms: int) -> bool:
        return (
            not self.waiting
            and (self.adapted is None or self.adapted.kept_until_ms <= now_ms)
            and self.doubt_until_ms <= now_ms
            and not self.in_flight
            and not self.uncounted_in_flight
            and self.hold_until_ms <= now_ms
            and (self.gate is None or self.gate.is_idle(now_ms))
            and all(lane.is_forgettable(now_ms) for lane in self.all_lanes())
        )


def chat_of(bot: BotState, chat_id: ChatId | None) -> Chat:
    return Chat(bot, chat_id, NO_LANES, NO_ENTRIES, NO_EDITS)


class User:
    """What one user makes one bot send; known only while users have a limit."""

    __slots__ = ("bot", "forget_at_ms", "gate", "lanes", "open", "user_id")

    def __init__(self, bot: BotState, user_id: int, gate: Gate) -> None:
        self.bot = bot
        self.user_id = user_id
        self.gate = gate
        self.lanes: dict[Lane, None] = {}  # whose head was its when they were last looked at
        self.open = 0
        self.forget_at_ms: int | None = None

    def is_forgettable(self, now_ms: int) -> bool:
        return not self.open and self.gate.is_idle(now_ms)


class BotState:
    """One bot's gates, holds, lines and chats."""

    __slots__ = (
        "adapted",
        "aliases",
        "blames",
        "bot_id",
        "chats",
        "doubt_until_ms",
        "gate",
        "health",
        "hold_until_ms",
        "is_paused",
        "is_short",
        "lines",
        "open",
        "paid_gate",
        "purse",
        "spacing",
        "special",
        "tries_failed",
        "turns",
        "uncounted_groups",
        "uncounted_lines",
        "users",
        "waiting",
        "waiting_lines",
        "wake_at_ms",
        "weight",
    )

    def __init__(
        self,
        bot_id: int,
        groups: dict[Priority, Group],
        uncounted_groups: dict[Priority, Group],
        *,
        gate: Gate | None,
        spacing: Spacing | None,
        paid_gate: Gate | None,
        purse: WeightedWindow,
    ) -> None:
        self.bot_id = bot_id
        self.gate = gate
        self.spacing = spacing
        self.paid_gate = paid_gate
        self.purse = purse
        self.adapted: AdaptiveLimit | None = None  # while its limit is lowered
        self.lines = {priority: Line(self, groups[priority], priority) for priority in PRIORITIES}
        self.uncounted_groups = uncounted_groups
        self.uncounted_lines: dict[Priority, Line] = {}  # from their first message on
        self.waiting_lines: list[Line] = []  # the counted ones
        self.is_short = False  # something waited for its places when it was last looked at
        self.special = 0  # messages in its lanes that take several places or are to be paid for
        self.wake_at_ms: int | None = None
        self.turns = FairQueue()
        self.chats: dict[ChatId | None, Chat] = {}
        self.users: dict[int, User] = {}
        self.aliases: dict[ChatId, ChatId] = {}
        self.weight = 1
        self.is_paused = False
        self.hold_until_ms = 0
        self.health = Health()
        self.tries_failed = False  # while it is failing: no lane may go whose chat has not failed
        self.doubt_until_ms = 0  # 429s came that our own count of this bot does not explain
        self.blames: list[tuple[int, ChatId | None]] = []  # when, and which chat, of those
        self.waiting = 0
        self.open = 0

    def uncounted_line(self, priority: Priority) -> Line:
        line = self.uncounted_lines.get(priority)
        if line is None:
            line = self.uncounted_lines[priority] = Line(self, self.uncounted_groups[priority], priority)
        return line

    def let_go(self) -> None:
        """Cut what points to one another; see ``Chat.let_go``."""
        for line in (*self.lines.values(), *self.uncounted_lines.values()):
            line.clear()
        for chat in self.chats.values():
            chat.let_go()
        self.chats.clear()
        self.users.clear()

    def held_until_ms(self) -> int:
        """Return until when it is held, by a 429 or because it is failing and no trial is due."""
        failing = self.health.failing
        if failing is None:
            return self.hold_until_ms
        return max(self.hold_until_ms, failing.tried_at_ms(in_failed_chat=self.tries_failed))

    def pays(self, message: Outgoing, now_ms: int) -> bool:
        """Tell whether a message would go as a paid one now."""
        return message.is_paid and self.purse.free_at_ms(now_ms, message.cost) == now_ms

    def note_special(self, by: int) -> None:
        self.special += by
        if not self.special:
            for line in self.lines.values():
                line.paid.clear()
                line.failed_paid.clear()

    def resolve(self, chat_id: ChatId | None) -> ChatId | None:
        while chat_id is not None and chat_id in self.aliases:
            chat_id = self.aliases[chat_id]
        return chat_id
