"""What waits, until when, and which of it may go: see ``lua/shared/queue.lua``, step for step."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from sys import getsizeof
from typing import Any

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry, Group, Lane, Line, User, chat_of
from tempogram.engine.limits.aimd import AdaptiveLimit
from tempogram.engine.limits.fair_queue import FairQueue
from tempogram.engine.limits.limits import PURSE_GRAINS, Limit, Limits
from tempogram.engine.limits.pool import Pool
from tempogram.engine.limits.spacing import spacing
from tempogram.engine.limits.weighted_window import WeightedWindow
from tempogram.engine.limits.windows import Gate, both_free_at_ms, gate, narrow
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import PRIORITIES, ChatId, Outgoing, amended
from tempogram.engine.ports.broker import EXPIRED_MAX

DUE_MAX = 500
"""Timers, and chats to forget, that one call looks at; if more are due, the next lease comes at once.

untuned: some ms; 300,000 that are due at once would keep everything else waiting for seconds.
"""

STALE_KEPT = 1_000
"""Below so many it is not worth looking for what is stale.

untuned: that many stale ones take some 100 kB."""


SPARSE_BYTES_KEPT = 100_000
SPARSE_BYTES_EACH = 500
"""A dict that is full takes 40 to 150 bytes an item. untuned: copying what is left of a large one takes few ms."""


class Queue:
    """Bots, chats, lanes and timers.

    A lane whose head may go stands in its line, a line whose front may go in its group. What
    may not go yet has a timer, or waits for an event. What changes anything on which
    that depends offers the lane, the line or the bot again.
    """

    def __init__(self, limits: Limits, *, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self.turns = FairQueue()
        shares = limits.shares
        self.groups = {each: Group(each, shares[each], is_counted=True) for each in PRIORITIES}
        self.uncounted_groups = {each: Group(each, shares[each], is_counted=False) for each in PRIORITIES}
        self.all_groups = (*self.groups.values(), *self.uncounted_groups.values())
        self.uncounted = 0  # lines of uncounted_groups in which something waits
        self.bots: dict[int, BotState] = {}
        self.entries: dict[str, Entry] = {}
        self.open = dict.fromkeys(PRIORITIES, 0)
        self.retry = 0
        self.ceiling = gate(limits.ceiling)
        self.ceiling_spacing = spacing(limits.ceiling, limits.saved_up)
        self.pool = Pool(limits.ceiling.places)
        self.timers: list[tuple[int, int, Lane | BotState | Entry]] = []
        self.expiries: list[tuple[int, str]] = []
        self._forgets: list[tuple[int, int, Chat | User]] = []
        self.tick = count()

    def size(self) -> int:
        """Count what is remembered of messages, chats and users; for tests of what is forgotten."""
        heaps = len(self.timers) + len(self.expiries) + len(self._forgets)
        return heaps + len(self.entries) + sum(len(bot.chats) + len(bot.users) for bot in self.bots.values())

    def let_go(self) -> None:
        """Forget everything, as its broker is gone; see ``Chat.let_go``."""
        for bot in self.bots.values():
            bot.let_go()
        self.entries.clear()
        self.timers.clear()
        self._forgets.clear()

    # Bots and chats

    def bot(self, bot_id: int) -> BotState:
        bot = self.bots.get(bot_id)
        if bot is None:
            limits = self.limits
            bot = self.bots[bot_id] = BotState(
                bot_id,
                self.groups,
                self.uncounted_groups,
                gate=gate(limits.bot),
                spacing=spacing(limits.bot, limits.saved_up),
                paid_gate=gate(limits.paid),
                purse=WeightedWindow(limits.purse, grains=PURSE_GRAINS),
            )
        return bot

    def chat(self, bot: BotState, chat_id: ChatId | None) -> Chat:
        chat = bot.chats.get(chat_id)
        if chat is None:
            chat = bot.chats[chat_id] = chat_of(bot, chat_id)
        return chat

    def gate_of(self, chat: Chat) -> Gate | None:
        """Return the state of a chat's limit, made when it is first needed: most chats of a long backlog wait."""
        if chat.gate is None:
            chat.gate = gate(self.limits.of_chat(chat.chat_id))
        return chat.gate

    def user(self, bot: BotState, message: Outgoing) -> User | None:
        user_id = message.user_id
        if user_id is None or not message.cost:
            return None
        limited = gate(self.limits.user)
        if limited is None:
            return None
        user = bot.users.get(user_id)
        if user is None:
            user = bot.users[user_id] = User(bot, user_id, limited)
        return user

    # What waits

    def enter(self, entry: Entry, now_ms: int) -> None:
        """Put a due message into its lane."""
        lane = entry.lane
        entry.is_due = True
        lane.push(entry)
        if entry.position != entry.message.id:
            lane.stand_in(entry)
        lane.size += 1
        if entry.is_special:
            lane.line.bot.note_special(1)
        if lane.size == 1:
            self._begin_to_wait(lane)
            self._offer(lane, now_ms)
        elif lane.wait_until_ms > now_ms or lane.head(self.entries) is entry:
            self._offer(lane, now_ms)

    def _begin_to_wait(self, lane: Lane) -> None:
        line, group = lane.line, lane.line.group
        lane.turn = line.turns.enter(lane.turn)
        line.lanes += 1
        if line.lanes == 1:
            line.turn = group.turns.enter(line.turn)
            if line.is_counted:
                line.turn_in_bot = line.bot.turns.enter(line.turn_in_bot)
                line.bot.waiting_lines.append(line)
            else:
                self.uncounted += 1
            group.lines += 1
            if group.lines == 1:
                group.turn = self.turns.enter(group.turn)

    def leave(self, entry: Entry) -> None:
        """Take a message out of its lane."""
        lane = entry.lane
        if lane.stand_ins:
            lane.stand_ins.pop(entry.position, None)
        lane.size -= 1
        if entry.is_special:
            lane.line.bot.note_special(-1)
        if not lane.size:
            self._end_to_wait(lane)

    def _end_to_wait(self, lane: Lane) -> None:
        line = lane.line
        lane.clear()
        line.turns.leave()
        line.lanes -= 1
        if not line.lanes:
            bot, group = line.bot, line.group
            line.clear()
            if line.is_counted:
                bot.waiting_lines.remove(line)
                bot.turns.leave()
            else:
                self.uncounted -= 1
            group.turns.leave()
            group.lines -= 1
            if not group.lines:
                self.turns.leave()

    def count_open(self, entry: Entry, by: int) -> None:
        entry.lane.chat.bot.open += by
        if entry.user is not None:
            entry.user.open += by
            self.forget_user_later(entry.user)
        if entry.tried and not entry.number:
            self.retry += by
        else:
            self.open[entry.message.priority] += by

    def count_waiting(self, entry: Entry, by: int) -> None:
        chat = entry.lane.chat
        chat.waiting += by
        chat.bot.waiting += by

    def remove(self, entry: Entry, now_ms: int) -> None:
        """Forget a waiting message."""
        chat = entry.lane.chat
        del self.entries[entry.message.id]
        self.count_open(entry, -1)
        self.count_waiting(entry, -1)
        chat.forget_edit(entry)
        self._pull_out(entry, now_ms)
        self.forget_later(chat, now_ms)

    def _pull_out(self, entry: Entry, now_ms: int) -> None:
        """Take a message out of where it waits: its lane, or what is scheduled."""
        lane = entry.lane
        if not entry.is_due:
            lane.chat.later.pop(entry.message.id, None)
            return
        self.leave(entry)
        entry.is_due = False
        self._offer(lane, now_ms)
        if entry.is_special:  # its line may have offered it beside a free one
            self.reoffer(lane.line.bot, now_ms)

    def amend(self, message: Outgoing, now_ms: int) -> bool:
        """Give a waiting message another content and time, unless a part of it was sent; see ``lua/amend.lua``."""
        entry = self.entries.get(message.id)
        if entry is None or entry.number or entry.message.cost != message.cost:
            return False
        changed = amended(entry.message, message, keeps_time=entry.attempt > 0)
        ready_at_ms = changed.ready_at_ms
        if ready_at_ms == entry.message.ready_at_ms or (entry.is_due and ready_at_ms <= now_ms):
            entry.become(changed)
            return True
        self._pull_out(entry, now_ms)
        entry.become(changed)
        if ready_at_ms <= now_ms:
            self.enter(entry, now_ms)
        else:
            self.schedule(entry)
        return True

    def cancel(self, message_id: str, now_ms: int) -> bool:
        entry = self.entries.get(message_id)
        if entry is None or entry.number:
            return False
        self.remove(entry, now_ms)
        return True

    def schedule(self, entry: Entry) -> None:
        """Let a message wait outside of its lane until it is due."""
        entry.is_due = False
        entry.lane.chat.postpone(entry)
        heappush(self.timers, (entry.message.ready_at_ms, next(self.tick), entry))

    def gates_of(self, entry: Entry) -> tuple[Gate | None, ...]:
        if not entry.message.cost:
            return ()
        chat = entry.lane.chat
        of_bot = chat.bot.paid_gate if entry.pays else chat.bot.gate
        of_chat = chat.gate or self.gate_of(chat)
        return self.ceiling, of_bot, of_chat, None if entry.user is None else entry.user.gate

    # Which of it may go

    def _offer(self, lane: Lane, now_ms: int) -> None:
        """Look at one lane again, and at its bot if what its line offers is another message now."""
        line = lane.line
        self.offer_lane(lane, now_ms)
        bot = line.bot
        if bot.special or bot.health.failing is not None or line.front() is not line.offered:
            self.reoffer(bot, now_ms)

    def offer_lane(self, lane: Lane, now_ms: int) -> None:
        """Put a lane among those of its line that may go, or set its timer."""
        head = None if lane.chat.in_flight and lane.line.is_counted else lane.head(self.entries)
        if head is not None and head.user is not None:
            head.user.lanes[lane] = None
        ready_at_ms = None if head is None else self._lane_ready_at_ms(lane, head, now_ms)
        if head is not None and ready_at_ms == now_ms:
            lane.line.offer(lane, head)
            return
        lane.key = None
        self._set_timer(lane, ready_at_ms)

    def _lane_ready_at_ms(self, lane: Lane, head: Entry, now_ms: int) -> int | None:
        chat, cost = lane.chat, head.message.cost
        if cost == 0:
            return max(now_ms, chat.hold_until_ms)
        ready_at_ms = now_ms if chat.gate is None else chat.gate.ready_at_ms(now_ms, cost)
        if head.user is not None and ready_at_ms is not None:
            users_at_ms = head.user.gate.ready_at_ms(now_ms, cost)
            ready_at_ms = None if users_at_ms is None else max(ready_at_ms, users_at_ms)
        if ready_at_ms is None:
            return None
        if chat.hold_until_ms > ready_at_ms:
            ready_at_ms = chat.hold_until_ms
        return lane.wait_until_ms if lane.wait_until_ms > ready_at_ms else ready_at_ms

    def reoffer(self, bot: BotState, now_ms: int) -> None:
        """Put the lines of a bot among those of their priorities that may go, and set its timer for the others."""
        wake_at_ms = None
        bot.is_short = bool(bot.waiting_lines)
        if bot.health.failing is not None:
            lines = (*bot.waiting_lines, *bot.uncounted_lines.values())
            bot.tries_failed = not any(line.has_untroubled() for line in lines)
        if not bot.waiting_lines:
            pass  # nothing waits for its windows
        elif bot.special:
            for line in bot.waiting_lines:
                wake_at_ms = sooner(wake_at_ms, self._offer_line(line, now_ms))
        else:  # each front takes one place of the same window, so these are the times of all
            high_at_ms = spaced_at_ms = self._one_place_at_ms(bot, now_ms)
            bot.is_short = bot.is_short and high_at_ms != now_ms
            if high_at_ms is not None and bot.spacing is not None:
                spaced_at_ms = max(high_at_ms, bot.spacing.free_at_ms(now_ms, 1))
            for line in bot.waiting_lines:
                at_ms = spaced_at_ms if line.is_spaced else high_at_ms
                line.offered = line.front()
                if line.offered is not None and at_ms == now_ms:
                    line.group.offer(line)
                    continue
                line.key = None
                if line.offered is not None:
                    wake_at_ms = sooner(wake_at_ms, at_ms)
        if bot.uncounted_lines:
            wake_at_ms = sooner(wake_at_ms, self._offer_uncounted(bot, now_ms))
        self._set_timer(bot, wake_at_ms)

    def _offer_uncounted(self, bot: BotState, now_ms: int) -> int | None:
        """Offer the lines of what takes no place, and return when a hold of their bot lets them go."""
        held_until_ms = bot.held_until_ms()
        is_held = bot.is_paused or held_until_ms > now_ms
        is_waiting = False
        for line in bot.uncounted_lines.values():
            line.offered = line.front()
            if line.offered is not None and not is_held:
                line.group.offer(line)
                continue
            line.key = None
            is_waiting = is_waiting or line.offered is not None
        return held_until_ms if is_waiting and not bot.is_paused else None

    def _one_place_at_ms(self, bot: BotState, now_ms: int) -> int | None:
        if bot.is_paused:
            return None
        held_until_ms = bot.hold_until_ms if bot.health.failing is None else bot.held_until_ms()
        if held_until_ms > now_ms:
            return held_until_ms
        return now_ms if bot.gate is None else bot.gate.ready_at_ms(now_ms, 1)

    def _offer_line(self, line: Line, now_ms: int) -> int | None:
        """Put a line among those of its priority that may go, and return when it is to be looked at again."""
        line.offered = wake_at_ms = None
        for front in line.fronts():
            ready_at_ms = self._front_ready_at_ms(front, now_ms)
            if ready_at_ms == now_ms:
                line.offered = line.offered or front
                ready_at_ms = self._pays_later_at_ms(front, now_ms)
            wake_at_ms = sooner(wake_at_ms, ready_at_ms)
        if line.offered is None:
            line.key = None
        else:
            line.group.offer(line)
        return wake_at_ms

    def _front_ready_at_ms(self, front: Entry, now_ms: int) -> int | None:
        """Return when a front of a line may leave the bot; None if only an event can tell."""
        line = front.lane.line
        bot = line.bot
        if bot.is_paused:
            return None
        held_until_ms = bot.held_until_ms()
        if held_until_ms > now_ms:
            return held_until_ms
        if len(bot.waiting_lines) > 1 or line.paid or line.failed_paid:
            saves_until_ms = self._saved_up_until_ms(front, now_ms)
            if saves_until_ms != now_ms:
                return sooner(saves_until_ms, self._pays_later_at_ms(front, now_ms))
        return self._fits_at_ms(front, now_ms)

    def _saved_up_until_ms(self, front: Entry, now_ms: int) -> int | None:
        """Return until when a front of more than one place that ranks before saves up; ``now_ms`` if none does."""
        line = front.lane.line
        bot = line.bot
        pays = bot.pays(front.message, now_ms)
        for other_line in bot.waiting_lines:
            ranks_before = other_line is line or other_line.rank() < line.rank()
            for other in other_line.fronts() if ranks_before else ():
                if other is front:
                    break
                if other.message.cost > 1 and bot.pays(other.message, now_ms) == pays:
                    fits_at_ms = self._fits_at_ms(other, now_ms)
                    if fits_at_ms != now_ms:
                        return fits_at_ms
        return now_ms

    def _fits_at_ms(self, front: Entry, now_ms: int) -> int | None:
        """Return when its bot has places for a message: paid ones, or free ones while the purse does not suffice."""
        line, cost = front.lane.line, front.message.cost
        bot = line.bot
        if bot.pays(front.message, now_ms):
            return both_free_at_ms(bot.paid_gate, None, cost, now_ms)
        free_at_ms = both_free_at_ms(bot.gate, bot.spacing if line.is_spaced else None, cost, now_ms)
        return sooner(free_at_ms, self._pays_later_at_ms(front, now_ms))

    def _pays_later_at_ms(self, front: Entry, now_ms: int) -> int | None:
        """Return when its purse will suffice for a message that goes as a free one until then."""
        if not front.message.is_paid:
            return None
        pays_at_ms = front.lane.line.bot.purse.free_at_ms(now_ms, front.message.cost)
        return None if pays_at_ms == now_ms else pays_at_ms

    def reoffer_chat(self, chat: Chat, now_ms: int) -> None:
        for lane in chat.all_lanes() if chat.uncounted_lanes else chat.lanes:
            if lane.size:
                self.offer_lane(lane, now_ms)
        self.reoffer(chat.bot, now_ms)

    def reoffer_user(self, user: User, now_ms: int) -> None:
        """Look again at the lanes that wait for a user's places, in whatever chats; then the bot is looked at."""
        for lane in list(user.lanes):
            head = lane.head(self.entries)
            if head is None or head.user is not user:
                del user.lanes[lane]
            else:
                self.offer_lane(lane, now_ms)

    # Time

    def pass_time(self) -> int:
        """Let happen what is due by now, ``DUE_MAX`` of each kind at most, and return the time."""
        now_ms = self.clock()
        timers, looks = self.timers, 0
        while timers and timers[0][0] <= now_ms and looks < DUE_MAX:
            looks += 1
            at_ms, _, owner = heappop(timers)
            if self._is_stale(owner, at_ms):
                continue
            match owner:
                case BotState():
                    owner.wake_at_ms = None
                    self.reoffer(owner, now_ms)
                case Entry():
                    self._become_due(owner, now_ms)
                case Lane():
                    owner.wake_at_ms = None
                    self._offer(owner, now_ms)
        if self._forgets:
            self._forget_some(now_ms)
        self._sweep()
        return now_ms

    def _forget_some(self, now_ms: int) -> None:
        forgets, looks = self._forgets, 0
        while forgets and forgets[0][0] <= now_ms and looks < DUE_MAX:
            looks += 1
            self._forget(heappop(forgets)[2], now_ms)

    def next_forget_ms(self) -> int | None:
        """Return when there may be something to forget; nothing else depends on it."""
        return self._forgets[0][0] if self._forgets else None

    def _sweep(self) -> None:
        """Drop what is stale in the heaps once it is more than half of them, so that memory returns after a backlog.

        What lives is at most a timer for each message, for its lane and for each bot, and an expiry for each message.
        """
        waiting = len(self.entries)
        if is_sparse(self.entries):
            self.entries = dict(self.entries)
        if len(self.timers) > 4 * waiting + 2 * len(self.bots) + STALE_KEPT:
            self.timers = [timer for timer in self.timers if not self._is_stale(timer[2], timer[0])]
            heapify(self.timers)
        if len(self.expiries) > 2 * waiting + STALE_KEPT:
            self.expiries = list({expiry for expiry in self.expiries if expiry[1] in self.entries})
            heapify(self.expiries)

    def _set_timer(self, owner: Lane | BotState, at_ms: int | None) -> None:
        if owner.wake_at_ms != at_ms:
            owner.wake_at_ms = at_ms
            if at_ms is not None:
                heappush(self.timers, (at_ms, next(self.tick), owner))

    def lower_limit(
        self, scope: Chat | BotState, limit: Limit | None, now_ms: int, *, until_ms: int, refused: int
    ) -> None:
        """Let a chat or a bot use less of its limit, of whose places ``refused`` were not taken by Telegram."""
        if scope.gate is None or limit is None:
            return
        counted = scope.gate.counted(now_ms)
        adapted = scope.adapted or AdaptiveLimit(limit, least=self.limits.adapt_least)
        adapted.lower(now_ms, until_ms=until_ms, passed=None if counted is None else counted - refused)
        self._adapt(scope, adapted, now_ms)

    def use_limit(self, scope: Chat | BotState, adapted: AdaptiveLimit, now_ms: int) -> None:
        """Let a lowered limit rise if it was used; at a lease, so what is offered is looked at again anyway."""
        if scope.gate is None:
            return
        places = adapted.places
        adapted.use(now_ms, is_full=scope.gate.ready_at_ms(now_ms, 1) != now_ms)
        if adapted.places != places:
            self._adapt(scope, adapted, now_ms)

    def _adapt(self, scope: Chat | BotState, adapted: AdaptiveLimit, now_ms: int) -> None:
        narrow(scope.gate, scope.spacing if isinstance(scope, BotState) else None, adapted.places, now_ms)
        scope.adapted = adapted if adapted.is_lower else None

    def _become_due(self, entry: Entry, now_ms: int) -> None:
        entry.lane.chat.later.pop(entry.message.id, None)
        self.enter(entry, now_ms)

    def _is_stale(self, owner: Lane | BotState | Entry, at_ms: int) -> bool:
        if isinstance(owner, Entry):
            is_meant = owner.message.ready_at_ms == at_ms and not owner.is_due
            return self.entries.get(owner.message.id) is not owner or not is_meant
        return owner.wake_at_ms != at_ms

    def expire_some(self, now_ms: int) -> list[Outgoing]:
        """Forget what expired first, ``EXPIRED_MAX`` messages at most, and return it."""
        expired: list[Outgoing] = []
        while self.expiries and self.expiries[0][0] <= now_ms and len(expired) < EXPIRED_MAX:
            _, message_id = heappop(self.expiries)
            entry = self.entries.get(message_id)
            if entry is not None and not entry.number:
                expired.append(self.expire(entry, now_ms))
        return expired

    def expire(self, entry: Entry, now_ms: int) -> Outgoing:
        """Forget an expired message, and return it as it is to be recorded."""
        self.remove(entry, now_ms)
        return structs.replace(entry.message, attempt=entry.attempt)

    def forget_later(self, chat: Chat, now_ms: int) -> None:
        """Look again in a while at a chat with nothing to do, so that memory returns after a backlog."""
        if chat.forget_at_ms is None and not chat.waiting and not chat.in_flight and not chat.uncounted_in_flight:
            limit = self.limits.of_chat(chat.chat_id)
            at_ms = now_ms + (1_000 if limit is None else limit.window_ms)
            if chat.adapted is not None:
                at_ms = max(at_ms, chat.adapted.kept_until_ms)
            chat.forget_at_ms = 1 + (at_ms if at_ms > chat.hold_until_ms else chat.hold_until_ms)
            heappush(self._forgets, (chat.forget_at_ms, next(self.tick), chat))

    def forget_user_later(self, user: User) -> None:
        if user.forget_at_ms is None and not user.open:
            user.forget_at_ms = self.clock() + self.limits.user.window_ms + 1
            heappush(self._forgets, (user.forget_at_ms, next(self.tick), user))

    def _forget_user(self, user: User, now_ms: int) -> None:
        user.forget_at_ms = None
        if user.is_forgettable(now_ms):
            user.bot.users.pop(user.user_id, None)
        else:
            self.forget_user_later(user)

    def _forget(self, owner: Chat | User, now_ms: int) -> None:
        if isinstance(owner, User):
            self._forget_user(owner, now_ms)
        else:
            self._forget_chat(owner, now_ms)

    def _forget_chat(self, chat: Chat, now_ms: int) -> None:
        chat.forget_at_ms = None
        if chat.is_forgettable(now_ms):
            bot = chat.bot
            if bot.chats.get(chat.chat_id) is chat:
                del bot.chats[chat.chat_id]
                if is_sparse(bot.chats):
                    bot.chats = dict(bot.chats)
            chat.let_go()
        else:
            self.forget_later(chat, now_ms)

    def earliest(self, wake_at_ms: int | None) -> int | None:
        timers = self.timers
        while timers and self._is_stale(timers[0][2], timers[0][0]):
            heappop(timers)
        times = (wake_at_ms, timers[0][0] if timers else None, self.next_expiry_ms())
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def next_expiry_ms(self) -> int | None:
        """Return when the next of the waiting messages expires. A leased one comes back here if it is returned."""
        expiries = self.expiries
        while expiries and ((entry := self.entries.get(expiries[0][1])) is None or entry.number):
            heappop(expiries)
        return expiries[0][0] if expiries else None


def is_sparse(table: dict[Any, Any]) -> bool:
    """Tell whether a dict takes several times what its items need: none shrinks when items are deleted."""
    return getsizeof(table) > SPARSE_BYTES_KEPT + SPARSE_BYTES_EACH * len(table)


def sooner(at_ms: int | None, other_ms: int | None) -> int | None:
    """Return the earlier of two times; None is never."""
    if at_ms is None or other_ms is None:
        return other_ms if at_ms is None else at_ms
    return min(at_ms, other_ms)
