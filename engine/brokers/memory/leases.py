"""Which message goes next, and its lease until it ends: see ``lua/shared/leases.lua``, step for step."""

from __future__ import annotations

from heapq import heappop

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import Entry, Group
from tempogram.engine.brokers.memory.queue import Queue, sooner
from tempogram.engine.limits.windows import both_free_at_ms
from tempogram.engine.model.messages import Lease
from tempogram.engine.ports.broker import BATCH_MAX, Leased


class Leases:
    """Gives the messages of a queue to workers."""

    def __init__(self, queue: Queue, *, lease_ms: int, incarnation: int) -> None:
        self.incarnation = incarnation
        self.leased: dict[str, Entry] = {}
        self._queue = queue
        self._lease_ms = lease_ms
        self._number = 0

    def lease(self, worker_id: str, slots: int, now_ms: int) -> Leased:
        queue = self._queue
        # Without slots nothing is looked at, and so nothing expires: the next lease reports it.
        expired = queue.expire(now_ms) if slots > 0 else ()
        next_expiry_ms = queue.next_expiry_ms()
        if next_expiry_ms is not None and next_expiry_ms <= now_ms:
            return Leased((), expired, now_ms)  # more than a batch: none of the rest may be leased
        leases: list[Lease] = []
        room = min(slots, BATCH_MAX)
        wake_at_ms = None
        while True:
            entry, wake_at_ms = self._choose(now_ms)
            if entry is None or len(leases) >= room:
                break
            leases.append(self._take(entry, worker_id, now_ms))
        if entry is not None:
            wake_at_ms = now_ms
        return Leased(tuple(leases), expired, queue.earliest(wake_at_ms))

    def _choose(self, now_ms: int) -> tuple[Entry | None, int | None]:
        """Return the message whose turn it is; or None, and when the ceiling lets one go that it now keeps back."""
        queue = self._queue
        wake_at_ms: int | None = None
        saves_up = False
        for group in self._in_turn():
            line = group.front()
            front = None if line is None else line.offered
            if line is None or front is None:
                continue
            if not group.is_counted:
                return front, None
            if saves_up:
                continue
            apart = queue.ceiling_spacing if line.is_spaced else None
            free_at_ms = both_free_at_ms(queue.ceiling, apart, front.message.cost, now_ms)
            if free_at_ms == now_ms:
                return front, None
            wake_at_ms = sooner(wake_at_ms, free_at_ms)
            saves_up = front.message.cost > 1  # nothing behind it takes what comes free meanwhile
        return None, wake_at_ms

    def _in_turn(self) -> list[Group]:
        """Return the priorities of which something may go, the one whose turn it is first."""
        queue = self._queue
        groups = [group for group in queue.all_groups if group.ready]  # by their places, which break ties
        if len(groups) > 1:
            rank = queue.turns.rank
            groups.sort(key=lambda group: rank(group.turn))
        return groups

    def _take(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        """Lease the front of a line: its places, its turns, and its chat's one place in flight."""
        queue = self._queue
        lane, cost = entry.lane, entry.message.cost or 1  # what takes no place takes a connection
        line, chat = lane.line, lane.chat
        bot, group = line.bot, line.group
        share = group.share
        self._take_places(entry, now_ms)
        group.turn = queue.turns.serve(group.turn, cost=cost, weight=share)
        line.turn = group.turns.serve(line.turn, cost=cost, weight=bot.weight)
        if line.is_counted:
            line.turn_in_bot = bot.turns.serve(line.turn_in_bot, cost=cost, weight=share)
        lane.turn = line.turns.serve(lane.turn, cost=cost, weight=1)
        if entry.tried:  # while it is leased it counts under its priority
            queue.retry -= 1
            queue.open[line.priority] += 1
        queue.count_waiting(entry, -1)
        chat.forget_edit(entry)
        lease = self.give(entry, worker_id, now_ms)
        self.leased[entry.message.id] = entry
        heappop(lane.positions)
        queue.leave(entry)
        if line.is_counted:
            chat.in_flight += 1
            for other in chat.lanes.values():
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

    def give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        self._number += 1
        entry.number = self._number
        entry.worker_id = worker_id
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
