"""Hands recipients to the queue in portions, so that a million of them take no memory and leave others their share.

For each broadcast that runs, a step

1.  gives further chats of its selection their rows,
2.  stores what became of its messages,
3.  submits the next recipients that are due, until as many messages are under way as leave in ``QUEUED_S``.

A row is the fence: its message has a ``dedup_key`` of the broadcast, the round and the chat, so it is accepted once,
whatever process submits it, and however often. A process that dies between a submission and its note leaves a row
that waits; it is submitted again, and its answer is the message that there is.

The files of a broadcast are uploaded with one message; the others wait until it has arrived, and go with the
``file_id`` that Telegram gave them. If it does not arrive, the next recipient's message uploads them; if it is held up,
a further one goes ahead, so that one chat does not stop the others.

Once a broadcast is paused or cancelled, what waits of it in the queue is taken back: at once by the process that was
asked, and by this one, which may have submitted a portion meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from tempogram.engine.broadcasts.due import due_ms, held_until_ms, recipient_on
from tempogram.engine.broadcasts.stopping import ENDS, take_back
from tempogram.engine.broadcasts.template import filled
from tempogram.engine.closing.closer import Closer
from tempogram.engine.dispatcher import Dispatcher, Submission
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Outcome
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import (
    BrokerError,
    ChatUnreachable,
    EngineError,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.ports import Accepted, Known, Ledger
from tempogram.engine.ports.audience import Audience
from tempogram.engine.ports.broadcast_store import PAGE, BroadcastStore
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import monitored

log = structlog.get_logger()

QUEUED_S = 6
"""For so long what is under way of a broadcast keeps its bot busy. untuned: a step of many broadcasts takes a second,
and what is queued must be taken back quickly."""

QUEUED_MAX = 1_000
"""Messages of one broadcast that are under way, at most."""

QUEUED_LEAST = 20

QUEUED_MAX_OF_ALL = 20_000
"""Of all broadcasts together; each has at least a portion."""

ACTIVE_MAX = 1_000
"""Broadcasts that a step is for; the next step is for those after them."""

PORTION = 200
"""Recipients that are submitted at once. untuned: some 30 ms, after which it is asked whether the broadcast still
runs."""

PAGES_A_STEP = 5
"""Pages of a selection that a step stores. untuned: 100 ms in which the other broadcasts wait."""

BUSY_S, IDLE_S = 0.2, 2.0
"""Between two steps: while there is something to do, and else. A start in this process is followed at once."""

FRESH_MS = 10_000
"""A portion that was read longer ago is dropped: this process was frozen, and another may have gone on. untuned."""

FULL_MS = 5_000
"""How much later a recipient is due whose chat has too many messages waiting. untuned: such a chat is an exception."""

UPLOADS_MAX = 3
"""Messages that upload the files of a broadcast at once, at most; and that may arrive without a ``file_id`` of them:
then it is paused."""

AHEAD_MS = 10_000
"""After so long a further message goes ahead with the files. untuned: most uploads are done by then, and one more costs
little."""

NO_FILE_ID = (
    "Telegram keeps its file as another kind than was sent, so each chat would need an upload of its own; "
    "make it again with the method of that kind (a GIF is an animation), or with a file_id"
)

NO_FILES = "its files are no longer stored; cancel it, and make it again with them"

Composed = Callable[[Broadcast, Addressee, Mapping[str, object]], Outgoing]
"""Makes the message to a recipient; raises ``EngineError`` if Telegram would refuse it."""


@dataclass(slots=True, kw_only=True)
class _Ahead:
    """The messages that go ahead with the files of a broadcast.

    Attributes:
        arrived_before: What had arrived, or was under way, before they went; it says nothing of the files.
        since_ms: Since when as many are under way as may be.
        most: How many may be under way.
    """

    arrived_before: int
    since_ms: int
    most: int = 1

    def grown(self, under_way: int, *, now_ms: int) -> int:
        """Return how many may be under way: one more once those that are have been for ``AHEAD_MS``."""
        if under_way < self.most:
            self.since_ms = now_ms
        elif now_ms >= self.since_ms + AHEAD_MS:
            self.most, self.since_ms = min(UPLOADS_MAX, self.most + 1), now_ms
        return self.most


class Feeder:
    """See the module. It runs in one process at a time.

    Args:
        bots_among: Returns which of some bots there are: a broadcast ends with its bot.
        limits: Returns those in force.
        knows_files: Tells whether Telegram has all files of a broadcast for its bot, so that none need be uploaded;
            None: they are not stored.
    """

    def __init__(
        self,
        store: BroadcastStore,
        audience: Audience,
        *,
        dispatcher: Dispatcher,
        ledger: Ledger,
        closer: Closer,
        compose: Composed,
        bots_among: Callable[[Collection[int]], Awaitable[set[int]]],
        limits: Callable[[], Awaitable[Limits]],
        knows_files: Callable[[Broadcast], Awaitable[bool | None]],
        conditions: Conditions,
        clock: Clock,
    ) -> None:
        self._store = store
        self._audience = audience
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._closer = closer
        self._compose = compose
        self._bots_among = bots_among
        self._limits = limits
        self._knows_files = knows_files
        self._conditions = conditions
        self._clock = clock
        self._woken = asyncio.Event()
        self._active: Sequence[Broadcast] = ()
        self._after_id = 0
        self._ahead: dict[int, _Ahead] = {}

    def wake(self) -> None:
        """Look at once whether there is something to do."""
        self._woken.set()

    def counts(self) -> Mapping[str, int]:
        """Count the active broadcasts of the last steps by their state."""
        return Counter(each.state.value for each in self._active)

    def left(self) -> int:
        """Count the recipients of those that run which have no outcome."""
        return sum(each.left for each in self._active if each.state is BroadcastState.RUNNING)

    def ended(self) -> Mapping[str, int]:
        """Count the recipients of those that run by their outcome."""
        ended = Counter[str]()
        for each in self._active:
            if each.state is BroadcastState.RUNNING:
                ended.update({outcome.value: count for outcome, count in each.outcomes.items()})
        return ended

    async def lead(self) -> None:
        """Feed until cancelled; an error ends one step only."""
        try:
            while True:
                self._woken.clear()
                is_busy = await self._step_or_report()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BUSY_S if is_busy else IDLE_S):
                        await self._woken.wait()
        finally:
            self._active = ()

    async def step(self) -> bool:
        """Do a little for each broadcast; tell whether there is more to do now.

        Raises:
            LedgerError, BrokerError: The rest is done in the next step.
        """
        active = await self._next()
        running = [each for each in active if each.state is BroadcastState.RUNNING]
        most = max(PORTION, min(QUEUED_MAX, QUEUED_MAX_OF_ALL // max(1, len(running))))
        limits = await self._limits() if running else Limits()
        bots = await self._bots_among({each.bot_id for each in active}) if active else set()
        is_busy, errors = False, list[LedgerError | BrokerError]()
        for each in active:
            try:
                is_busy |= await self._advance(each, min(most, queued_most(limits, each)), has_bot=each.bot_id in bots)
            except (LedgerError, BrokerError) as error:  # the others go on: it may be of this one alone
                errors.append(error)
            except Exception:
                log.exception("broadcast_step_failed", broadcast=each.id)
        if errors:
            raise errors[0]
        return is_busy or self._after_id > 0

    async def _next(self) -> Sequence[Broadcast]:
        """Return the broadcasts of this step; where there are more than one takes, they take turns."""
        active = await self._store.active(after_id=self._after_id, limit=ACTIVE_MAX)
        self._active = [*self._active, *active] if self._after_id else active
        self._after_id = active[-1].id if len(active) == ACTIVE_MAX else 0
        return active

    async def _step_or_report(self) -> bool:
        try:
            with monitored(self._conditions, seen_by="broadcasts"):
                return await self.step()
        except (LedgerError, BrokerError):
            return True  # reported as conditions

    async def _advance(self, broadcast: Broadcast, most: int, *, has_bot: bool) -> bool:
        if broadcast.state is not BroadcastState.RUNNING:
            return await self._stop(broadcast)
        if has_bot:
            return await self._feed(broadcast, most)
        await self._store.change(
            broadcast.id, BroadcastState.CANCELLED, when=(BroadcastState.RUNNING,), now_ms=self._clock()
        )
        log.warning("broadcast_without_bot", broadcast=broadcast.id, bot_id=broadcast.bot_id)
        return True

    async def _feed(self, broadcast: Broadcast, most: int) -> bool:
        if broadcast.is_retrying:
            await self._store.set_back(broadcast)
        if not broadcast.is_gathered:
            broadcast = await self._gather(broadcast)
        while await self._store.settle(broadcast) == PAGE:
            pass
        under_way = (await self._store.under_way([broadcast]))[broadcast.id]
        knows_files = await self._knows_files(broadcast)
        if knows_files is None:
            return await self._pause(broadcast, NO_FILES)
        if knows_files:
            self._ahead.pop(broadcast.id, None)
        else:
            arrived = (await self._store.get(broadcast.id) or broadcast).outcomes.get(Outcome.SENT, 0)
            start = _Ahead(arrived_before=arrived + under_way, since_ms=self._clock())
            ahead = self._ahead.setdefault(broadcast.id, start)
            if arrived - ahead.arrived_before >= UPLOADS_MAX:
                return await self._pause(broadcast, NO_FILE_ID)
            most = ahead.grown(under_way, now_ms=self._clock())
        submitted = await self._submit_due(broadcast, most - under_way)
        if under_way or submitted or broadcast.is_retrying or not broadcast.is_gathered:
            return True
        if await self._store.finish(broadcast, now_ms=self._clock()):
            await self._log_end(broadcast)
        return False

    async def _pause(self, broadcast: Broadcast, problem: str) -> bool:
        running, now_ms = (BroadcastState.RUNNING,), self._clock()
        if await self._store.change(broadcast.id, BroadcastState.PAUSED, when=running, now_ms=now_ms, problem=problem):
            log.warning("broadcast_paused", broadcast=broadcast.id, bot_id=broadcast.bot_id, reason=problem)
        return True

    async def _log_end(self, broadcast: Broadcast) -> None:
        ended = await self._store.get(broadcast.id) or broadcast
        counts = {outcome.value: count for outcome, count in ended.outcomes.items()}
        log.info("broadcast_done", broadcast=broadcast.id, bot_id=broadcast.bot_id, **counts)

    async def _gather(self, broadcast: Broadcast) -> Broadcast:
        """Store the next recipients, and return the broadcast as it is then."""
        for _ in range(PAGES_A_STEP):
            started_at_ms, plan = broadcast.started_at_ms or 0, broadcast.plan
            rules = replace(broadcast.rules, daily_cap=None)  # it counts on the date on which each is submitted
            page = await self._audience.page(plan.selection, rules, now_ms=started_at_ms, after=broadcast.gathered_to)
            due = {each.chat_id: due_ms(plan, each, started_at_ms=started_at_ms) for each in page}
            to = str(page[-1].chat_id) if page else broadcast.gathered_to
            await self._store.gather(broadcast, due, to=to)
            broadcast = await self._store.get(broadcast.id) or broadcast
            if broadcast.is_gathered or broadcast.state is not BroadcastState.RUNNING:
                break
        return broadcast

    async def _submit_due(self, broadcast: Broadcast, room: int) -> int:
        """Submit recipients that are due, at most so many, and return how many were dealt with."""
        done = 0
        while done < room:
            limit, read_at_ms = min(PORTION, room - done), self._clock()
            due = await self._store.due(broadcast, now_ms=read_at_ms, limit=limit)
            if self._clock() > read_at_ms + FRESH_MS:
                log.info("broadcast_portion_dropped", broadcast=broadcast.id)  # this process was frozen
                break
            if due and not await self._submit(broadcast, due):
                break
            done += len(due)
            if len(due) < limit:
                break
        return done

    async def _submit(self, broadcast: Broadcast, due: Sequence[Addressee]) -> bool:
        """Submit a portion; False if no further one is to follow now."""
        ended: dict[Outcome, list[Addressee]] = {}
        later: dict[Addressee, int] = {}
        if twins := [each for each in due if each.is_twin]:
            await self._store.drop(broadcast, twins)
        ready = await self._claim(broadcast, list(self._ready(broadcast, due, ended, later)), ended)
        messages = dict(self._composed(broadcast, ready, ended))
        answers = await self._dispatcher.submit(list(messages.values())) if messages else []
        noted: dict[Addressee, str] = {}
        full: list[QueueFull] = []
        for (addressee, message), answer in zip(messages.items(), answers, strict=True):
            match answer:
                case Accepted():
                    noted[addressee] = message.id
                case Known(message_id):
                    noted[addressee] = message_id
                case QueueFull():
                    full.append(answer)
                    later[addressee] = self._clock() + FULL_MS
                case _:
                    _judge(answer, addressee, ended)
        await self._store_portion(broadcast, noted, ended, later)
        return not any(each.chat_id is None for each in full) and await self._still_runs(broadcast)

    async def _store_portion(
        self,
        broadcast: Broadcast,
        noted: Mapping[Addressee, str],
        ended: Mapping[Outcome, Sequence[Addressee]],
        later: Mapping[Addressee, int],
    ) -> None:
        if noted:
            await self._store.note(broadcast, noted)
        if ended:
            await self._store.end(broadcast, ended)
        if later:
            await self._store.postpone(broadcast, later)

    def _ready(
        self,
        broadcast: Broadcast,
        due: Sequence[Addressee],
        ended: dict[Outcome, list[Addressee]],
        later: dict[Addressee, int],
    ) -> Iterator[Addressee]:
        """Give those that may be written to now, and note when the others may, or that they may not."""
        now_ms = self._clock()
        for each in due:
            if each.is_twin:
                continue
            if each.has_opted_out:
                ended.setdefault(Outcome.OPTED_OUT, []).append(each)
            elif (until_ms := held_until_ms(broadcast.plan, each, now_ms=now_ms)) is not None:
                later[each] = until_ms
            else:
                yield each

    async def _claim(
        self, broadcast: Broadcast, ready: Sequence[Addressee], ended: dict[Outcome, list[Addressee]]
    ) -> Sequence[Addressee]:
        """Return those that the daily cap allows. What was claimed on this date by a round before is so still."""
        if broadcast.plan.daily_cap is None:
            return ready
        now_ms = self._clock()
        wanted = {each.to: recipient_on(broadcast.plan, each, now_ms=now_ms) for each in ready if each.is_reachable}
        new = [wanted[each.to] for each in ready if each.is_reachable and each.claimed_on != wanted[each.to].local_date]
        won = await self._audience.claim(new, broadcast.rules, bot_id=broadcast.bot_id, now_ms=now_ms) if new else []
        lost = {each.chat_id for each in new} - {each.recipient.chat_id for each in won}
        if capped := [each for each in ready if each.to in lost]:
            ended[Outcome.DAILY_CAP] = capped
        return [each for each in ready if each.to not in lost]

    def _composed(
        self, broadcast: Broadcast, ready: Sequence[Addressee], ended: dict[Outcome, list[Addressee]]
    ) -> Sequence[tuple[Addressee, Outgoing]]:
        composed: list[tuple[Addressee, Outgoing]] = []
        refusals: list[str] = []
        for each in ready:
            try:
                params = filled(broadcast.plan.content.params, each)
                composed.append((each, self._compose(broadcast, each, params)))
            except EngineError as refused:
                refusals.append(refused.loggable)
                ended.setdefault(Outcome.REFUSED, []).append(each)
        if refusals:
            log.warning(
                "broadcast_recipients_refused", broadcast=broadcast.id, recipients=len(refusals), reason=refusals[0]
            )
        return composed

    async def _still_runs(self, broadcast: Broadcast) -> bool:
        """Tell whether a broadcast runs; what was submitted of one that was stopped meanwhile is taken back."""
        now = await self._store.get(broadcast.id)
        if now is None or now.state is BroadcastState.RUNNING:
            return now is not None
        if now.state in ENDS:
            await take_back(self._ledger, self._closer, now)
        return False

    async def _stop(self, broadcast: Broadcast) -> bool:
        """Take back what waits of a stopped broadcast, until its messages have all ended."""
        self._ahead.pop(broadcast.id, None)
        left = await take_back(self._ledger, self._closer, broadcast)
        while await self._store.settle(broadcast) == PAGE:
            pass
        if left or (await self._store.under_way([broadcast]))[broadcast.id]:
            return True
        await self._store.quieten(broadcast)
        return False


def queued_most(limits: Limits, broadcast: Broadcast) -> int:
    """Return how many messages of a broadcast may be under way.

    >>> from tempogram.engine.model.broadcasts import Content, Plan
    >>> from tempogram.engine.model.selection import Selection
    >>> plan = Plan(selection=Selection(bot_id=1), content=Content(method="sendMessage", params={}))
    >>> queued_most(Limits(), Broadcast(id=1, name="news", plan=plan))
    180
    """
    is_paid = bool(broadcast.plan.content.params.get("allow_paid_broadcast"))
    of_bot = limits.paid if is_paid else limits.bot
    paces = [limit.count * 1_000 / limit.window_ms for limit in (of_bot, limits.ceiling) if limit.count]
    return max(QUEUED_LEAST, min(QUEUED_MAX, round(QUEUED_S * min(paces)))) if paces else QUEUED_MAX


def _judge(answer: Submission, addressee: Addressee, ended: dict[Outcome, list[Addressee]]) -> None:
    match answer:
        case ChatUnreachable():
            ended.setdefault(Outcome.UNREACHABLE, []).append(addressee)
        case TargetLost() | UnstorableValue():
            ended.setdefault(Outcome.REFUSED, []).append(addressee)
        case _:
            pass  # the ledger was away: it waits as before
