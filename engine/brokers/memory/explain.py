"""Why a message still waits: the rule of ``Broker``, asked gate by gate; see ``lua/explain.lua``."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

from tempogram.engine.brokers.memory.lanes import Entry, Lane
from tempogram.engine.limits.pool import Pool
from tempogram.engine.limits.spacing import Spacing
from tempogram.engine.limits.windows import Gate
from tempogram.engine.ports.explanation import Explanation, WaitsAt


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question about one waiting message. Cost: O(messages of its lane + chats of its bot)."""

    entry: Entry
    entries: dict[str, Entry]
    ceiling: Gate | None
    ceiling_spacing: Spacing | None
    pool: Pool
    now_ms: int

    def answer(self) -> Explanation:
        before = self._before()
        return Explanation(
            message_id=self.entry.message.id,
            waits_at=self._waits_at(),
            before_in_lane=len(before),
            before_in_line=len(before) + sum(self._overtaking(len(before))),
            earliest_at_ms=self._earliest_at_ms([*before, self.entry]),
        )

    def _before(self) -> list[Entry]:
        waiting = self.entry.lane.all_waiting(self.entries)
        return [entry for entry in waiting if entry.position < self.entry.position]

    def _overtaking(self, rounds: int) -> Iterator[int]:
        """Yield how many messages each other lane of its line sends first."""
        lane = self.entry.lane
        first = lane.head(self.entries) or self.entry
        mine = _turn(lane), min(first.position, self.entry.position)
        for chat in lane.line.bot.chats.values():
            other = next((each for each in chat.all_lanes() if each.line is lane.line), None)
            head = None if other is None or other is lane else other.head(self.entries)
            if other is not None and head is not None:
                yield min(other.size, rounds + ((other.turn, head.position) < mine))

    def _waits_at(self) -> WaitsAt:
        if not self.entry.is_due:
            return WaitsAt.BACKOFF if self.entry.tried else WaitsAt.SCHEDULED
        head = self.entry.lane.head(self.entries) or self.entry
        return next((gate for gate, is_shut in self._gates(head) if is_shut), WaitsAt.TURN)

    def _gates(self, head: Entry) -> Iterator[tuple[WaitsAt, bool]]:
        lane, now_ms, cost = head.lane, self.now_ms, head.message.cost
        chat, bot = lane.chat, lane.chat.bot
        if not cost:
            yield WaitsAt.CHAT_HELD, chat.hold_until_ms > now_ms
            yield WaitsAt.BOT_PAUSED, bot.is_paused
            yield WaitsAt.BOT_HELD, bot.hold_until_ms > now_ms
            yield WaitsAt.BOT_FAILING, _tried_at_ms(lane) > now_ms
            return
        yield WaitsAt.BACKOFF, lane.wait_until_ms > now_ms
        yield WaitsAt.CHAT_IN_FLIGHT, chat.in_flight > 0
        yield WaitsAt.CHAT_HELD, chat.hold_until_ms > now_ms
        yield WaitsAt.CHAT_WINDOW, _is_full(chat.gate, cost, now_ms)
        yield WaitsAt.USER_WINDOW, _is_full(None if head.user is None else head.user.gate, cost, now_ms)
        yield WaitsAt.BOT_PAUSED, bot.is_paused
        yield WaitsAt.BOT_HELD, bot.hold_until_ms > now_ms
        yield WaitsAt.BOT_FAILING, _tried_at_ms(lane) > now_ms
        pays = bot.pays(head.message, now_ms)
        yield WaitsAt.BOT_WINDOW, _is_full(bot.paid_gate if pays else bot.gate, cost, now_ms)
        yield WaitsAt.SPACING, lane.line.is_spaced and not pays and _is_too_soon(bot.spacing, cost, now_ms)
        yield WaitsAt.CEILING, _is_full(self.ceiling, cost, now_ms) or self._is_left_to_others(lane)
        yield WaitsAt.SPACING, lane.line.is_spaced and _is_too_soon(self.ceiling_spacing, cost, now_ms)

    def _is_left_to_others(self, lane: Lane) -> bool:
        """Tell whether the free places of the ceiling are left to other bots, or to high."""
        is_left_for_high = lane.line.is_spaced and self.pool.is_left_for_high()
        return is_left_for_high or not self.pool.may_begin(lane.chat.bot.bot_id, self.now_ms)

    def _earliest_at_ms(self, entries: list[Entry]) -> int | None:
        """Return when the last of them may go if they were alone."""
        lane = self.entry.lane
        chat, bot = lane.chat, lane.chat.bot
        if bot.is_paused:
            return None
        own_ms = 0 if self.entry.is_due else self.entry.message.ready_at_ms
        holds_ms = max(self.now_ms, own_ms, chat.hold_until_ms, bot.hold_until_ms, _tried_at_ms(lane))
        if not lane.line.is_counted:
            return holds_ms
        costs = [each.message.cost for each in entries]
        limits: list[Gate | Spacing | None] = [chat.gate, self.ceiling]
        of_bot: list[Gate | Spacing | None] = [bot.gate]
        if lane.line.is_spaced:
            limits.append(self.ceiling_spacing)
            of_bot.append(bot.spacing)
        free = [limit.earliest_ms(self.now_ms, costs) for limit in limits if limit is not None]
        unpaid = [each.message.cost for each in entries if not each.message.is_paid]
        if unpaid:
            free += [limit.earliest_ms(self.now_ms, unpaid) for limit in of_bot if limit is not None]
        user = self.entry.user
        if user is not None:
            free.append(
                user.gate.earliest_ms(self.now_ms, [each.message.cost for each in entries if each.user is user])
            )
        return max(holds_ms, lane.wait_until_ms, *free)


def _turn(lane: Lane) -> int:
    """Return its pass; if nothing waits in it, the pass with which it would enter."""
    return lane.turn if lane.size else copy(lane.line.turns).enter(lane.turn)


def _tried_at_ms(lane: Lane) -> int:
    """Return when its bot is tried next in lanes like this one, if it is failing."""
    failing = lane.chat.bot.health.failing
    return 0 if failing is None else failing.tried_at_ms(in_failed_chat=lane.is_in_failed_chat)


def _is_full(gate: Gate | None, cost: int, now_ms: int) -> bool:
    return gate is not None and gate.ready_at_ms(now_ms, cost) != now_ms


def _is_too_soon(spacing: Spacing | None, cost: int, now_ms: int) -> bool:
    return spacing is not None and spacing.free_at_ms(now_ms, cost) > now_ms
