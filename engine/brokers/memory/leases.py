"""Which message goes next, and its lease until it ends: see ``lua/shared/leases.lua``, step for step."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import Entry, Group, Line, LineKey
from tempogram.engine.brokers.memory.queue import Queue, sooner
from tempogram.engine.limits.pool import Connections
from tempogram.engine.limits.windows import both_free_at_ms
from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.ports.broker import BATCH_MAX, Leased


@dataclass(slots=True)
class Question:
    """One question for leases.

    A bot that may take no further place of the ceiling, or no further connection of the worker that asks, is passed
    over: its turn neither ends nor keeps others waiting. Until the question ends nothing lets it in again.

    Attributes:
        connections: Of the worker that asks; None if it has so many that any bot may have them.
        given: How many leases each bot got.
        passed_over: Lines that were taken out of their groups until the end, with the heap of each.
        waits_for_ceiling: A bot was passed over that has its share of the ceiling's places.
        is_kept_back: Something may go, but not by these connections.
    """

    now_ms: int
    connections: Connections | None
    leases: list[Lease] = field(default_factory=list)
    given: dict[int, int] = field(default_factory=dict)
    passed_over: list[tuple[list[LineKey], LineKey]] = field(default_factory=list)
    waits_for_ceiling: bool = False
    is_kept_back: bool = False

    def note_lease(self, lease: Lease) -> None:
        self.leases.append(lease)
        if self.connections is not None:
            bot_id = lease.message.bot_id
            self.given[bot_id] = self.given.get(bot_id, 0) + 1

    def may_connect(self, bot_id: int) -> bool:
        connections = self.connections
        if connections is None:
            return True
        free, given = connections.free - len(self.leases), self.given.get(bot_id, 0)
        if connections.pool.may_begin(bot_id, connections.at_ms, free=free, more=given):
            return True
        self.is_kept_back = True
        return False

    def connects_high_only(self) -> bool:
        connections = self.connections
        if connections is None or not connections.pool.is_left_for_high(free=connections.free - len(self.leases)):
            return False
        self.is_kept_back = True
        return True

    def pass_over(self, group: Group) -> None:
        self.passed_over.append((group.ready, heappop(group.ready)))

    def end(self) -> None:
        for ready, key in self.passed_over:
            if key[2].key is key:
                heappush(ready, key)


class Leases:
    """Gives the messages of a queue to workers."""

    def __init__(self, queue: Queue, *, lease_ms: int, incarnation: int) -> None:
        self.incarnation = incarnation
        self.leased: dict[str, Entry] = {}
        self._queue = queue
        self._lease_ms = lease_ms
        self._number = 0

    def lease(self, worker_id: str, slots: int, now_ms: int, connections: Connections | None = None) -> Leased:
        queue = self._queue
        # Without slots nothing is looked at, and so nothing expires: the next lease reports it.
        expired = queue.expire_some(now_ms) if slots > 0 else []
        turns = min(slots, BATCH_MAX)
        is_bounded = connections is not None and not connections.are_any_bots_after(turns)
        question = Question(now_ms, connections if is_bounded else None)
        wake_at_ms = None
        while True:
            entry, wake_at_ms = self._choose(question)
            if entry is None or not turns:
                break
            turns -= 1
            expires_at_ms = entry.message.expires_at_ms
            if expires_at_ms is None or expires_at_ms > now_ms:
                question.note_lease(self._take(entry, worker_id, now_ms))
            else:  # more had expired than were taken out
                expired.append(self._expire_front(entry, now_ms))
        question.end()
        if entry is not None:
            wake_at_ms = now_ms
        elif question.waits_for_ceiling:
            wake_at_ms = sooner(wake_at_ms, queue.pool.changes_at_ms(now_ms))
        wake_at_ms = queue.earliest(wake_at_ms)
        if wake_at_ms is not None and wake_at_ms < now_ms:
            wake_at_ms = now_ms  # some that have expired are still to be taken out
        return Leased(tuple(question.leases), tuple(expired), wake_at_ms, question.is_kept_back)

    def _choose(self, question: Question) -> tuple[Entry | None, int | None]:
        """Return the message whose turn it is; or None, and when the ceiling lets one go that it now keeps back."""
        queue, now_ms = self._queue, question.now_ms
        wake_at_ms: int | None = None
        saves_up = False
        is_shared_out = question.connections is not None or not queue.pool.is_any_bots
        for group in self._in_turn():
            line = self._front(group, question) if is_shared_out else group.front()
            front = None if line is None else line.offered
            if line is None or front is None:
                continue
            if not line.is_counted:
                return front, None
            if saves_up:
                continue
            if is_shared_out and line.is_spaced and self._is_left_for_high(question):
                continue  # it saves up nothing: none but high may take what is free
            apart = queue.ceiling_spacing if line.is_spaced else None
            free_at_ms = both_free_at_ms(queue.ceiling, apart, front.message.cost, now_ms)
            if free_at_ms == now_ms:
                return front, None
            wake_at_ms = sooner(wake_at_ms, free_at_ms)
            saves_up = front.message.cost > 1  # nothing behind it takes what comes free meanwhile
            if saves_up and not queue.pool.is_any_bots:  # until its bot is passed over
                wake_at_ms = sooner(wake_at_ms, queue.pool.slow_at_ms(line.bot.bot_id, now_ms))
        return None, wake_at_ms

    def _front(self, group: Group, question: Question) -> Line | None:
        """Return the line of a priority whose turn it is among those whose bots may take a place."""
        while (line := group.front()) is not None and not self._may_begin(line, question):
            question.pass_over(group)
        return line

    def _may_begin(self, line: Line, question: Question) -> bool:
        bot_id = line.bot.bot_id
        if line.is_counted and not self._queue.pool.may_begin(bot_id, question.now_ms):
            question.waits_for_ceiling = True
            return False
        return question.may_connect(bot_id)

    def _is_left_for_high(self, question: Question) -> bool:
        return self._queue.pool.is_left_for_high() or question.connects_high_only()

    def _in_turn(self) -> list[Group]:
        """Return the priorities of which something may go, the one whose turn it is first."""
        queue = self._queue
        groups = [group for group in queue.groups.values() if group.ready]  # by their places, which break ties
        if queue.uncounted:
            groups += [group for group in queue.uncounted_groups.values() if group.ready]
        if len(groups) > 1:
            rank = queue.turns.rank
            groups.sort(key=lambda group: rank(group.turn))
        return groups

    def _take(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        """Lease the front of a line: its places, its turns, and its chat's one place in flight."""
        queue = self._queue
        lane = entry.lane
        line, chat = lane.line, lane.chat
        bot = line.bot
        self._take_places(entry, now_ms)
        self._take_turn(entry)
        health = bot.health
        if health.failing is not None or not health.called_since_ms:
            health.begin_call(entry.message.id, now_ms, in_failed_chat=lane.is_in_failed_chat)
        if entry.tried:  # while it is leased it counts under its priority
            queue.retry -= 1
            queue.open[line.priority] += 1
        chat.waiting -= 1
        bot.waiting -= 1
        if chat.edits:
            chat.forget_edit(entry)
        lease = self.give(entry, worker_id, now_ms)
        self.leased[entry.message.id] = entry
        queue.pool.begin(bot.bot_id, entry.message.id, entry.message.cost, now_ms)
        lane.pop()
        queue.leave(entry)
        if line.is_counted:
            chat.in_flight += 1
            for other in chat.lanes:
                other.key = None
        else:
            chat.uncounted_in_flight += 1
            lane.key = None
            if lane.size:
                queue.offer_lane(lane, now_ms)
        line.key = None
        if entry.user is not None:
            queue.reoffer_user(entry.user, now_ms)
        queue.reoffer(bot, now_ms)
        return lease

    def _expire_front(self, entry: Entry, now_ms: int) -> Outgoing:
        """Forget the front of a line that has expired. It has had its turn, or a line of them would have every turn."""
        self._take_turn(entry)
        expired = self._queue.expire(entry, now_ms)
        self._queue.reoffer(entry.lane.line.bot, now_ms)
        return expired

    def _take_turn(self, entry: Entry) -> None:
        lane, cost = entry.lane, entry.message.cost or 1  # what takes no place takes a connection
        line = lane.line
        bot, group = line.bot, line.group
        share = group.share
        group.turn = self._queue.turns.serve(group.turn, cost=cost, weight=share)
        line.turn = group.turns.serve(line.turn, cost=cost, weight=bot.weight)
        if line.is_counted:
            line.turn_in_bot = bot.turns.serve(line.turn_in_bot, cost=cost, weight=share)
        lane.turn = line.turns.serve(lane.turn, cost=cost, weight=1)

    def _take_places(self, entry: Entry, now_ms: int) -> None:
        queue = self._queue
        message, line = entry.message, entry.lane.line
        cost, bot = message.cost, line.bot
        entry.pays = message.is_paid and bot.pays(message, now_ms)
        for each in queue.gates_of(entry):
            if each is not None:
                each.take(now_ms, cost)
        if entry.pays:
            bot.purse.take(cost)
        if line.is_spaced:
            for apart in (queue.ceiling_spacing, None if entry.pays else bot.spacing):
                if apart is not None:
                    apart.spend(now_ms, cost)
        if entry.lane.chat.adapted is not None and cost:
            queue.use_limit(entry.lane.chat, entry.lane.chat.adapted, now_ms)
        if bot.adapted is not None and cost and not entry.pays:
            queue.use_limit(bot, bot.adapted, now_ms)

    def give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        self._number += 1
        entry.number = self._number
        entry.lease_until_ms = now_ms + self._lease_ms
        message = entry.message
        if message.is_paid and not entry.pays:
            message = structs.replace(message, is_paid=False)
        return Lease(message, entry.attempt + 1, worker_id, self.incarnation, entry.number, entry.lease_until_ms)

    def held(self, lease: Lease) -> Entry | None:
        entry = self.leased.get(lease.message.id)
        if entry is None or lease.incarnation != self.incarnation or lease.number != entry.number:
            return None
        return entry

    def extend(self, lease: Lease, until_ms: int) -> bool:
        entry = self.held(lease)
        if entry is not None:
            entry.lease_until_ms = until_ms
        return entry is not None
