"""Notifies chats of what has changed: one message for all of it, of low priority, and each change once.

A digest is put together in the database before its message is submitted, with a ``dedup_key`` of its own: after a kill
the same message is submitted again, and accepted once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from tempogram.api.core.ports import Composer, Refusal
from tempogram.bot.behaviours.watches.texts import digest_text
from tempogram.engine.dispatcher import Dispatcher, Submission
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError, QueueFull
from tempogram.engine.model.messages import Outgoing, Priority
from tempogram.engine.model.selection import DEFAULT_ZONE
from tempogram.engine.model.watches import Digest, Subscriber, Waiting
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.ports import Accepted, Known
from tempogram.engine.ports.watch_store import WatchStore
from tempogram.engine.selection.quiet import quiet_until_ms

TAG = "watches"

CHATS_MAX = 2_000
"""Decided at once. Measured with 100,000 that wait: to read so many takes 0.5 s, as long as to read 500, and to write
them 0.1 s, in which nothing else is written to SQLite."""


class Digests:
    """See the module.

    Args:
        is_known: Tells whether there is a bot.
        clock: Milliseconds since the epoch.
    """

    def __init__(
        self,
        store: WatchStore,
        dispatcher: Dispatcher,
        composer: Composer,
        *,
        is_known: Callable[[int], bool],
        clock: Clock,
        metrics: WatchMetrics,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._composer = composer
        self._is_known = is_known
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Notify every chat for which it is time, those first whose digests were left by a process that died.

        A bot whose queue is full is left alone until the next run.
        """
        full: set[int] = set()
        last = await self._submit(None, full)
        while waiting := await self._store.waiting(now_ms=self._clock(), limit=CHATS_MAX):
            await self._decide(waiting, now_ms=max(self._clock(), last.at_ms + 1 if last else 0))
            last = await self._submit(last, full) or last

    async def _decide(self, waiting: Sequence[Waiting], *, now_ms: int) -> None:
        """Put together, defer or drop what each of these chats is to be notified of."""
        lost: list[Subscriber] = []
        written: list[Subscriber] = []
        quiet: dict[int, list[Subscriber]] = defaultdict(list)
        for each in waiting:
            if not each.may_be_written or not self._is_known(each.to.bot_id):
                lost.append(each.to)
            elif (until_ms := quiet_until_ms(each.quiet, each.zone or DEFAULT_ZONE, now_ms)) is None:
                written.append(each.to)
            else:
                quiet[until_ms].append(each.to)
        for until_ms, chats in quiet.items():
            await self._store.defer(chats, until_ms=until_ms)
            self._metrics.count_digests("deferred", len(chats))
        if lost:
            await self._store.drop(lost)
            self._metrics.count_digests("dropped", len(lost))
        if written:
            await self._store.put_together(written, now_ms=now_ms)

    async def _submit(self, last: Digest | None, full: set[int]) -> Digest | None:
        """Submit what was put together behind a digest, and return the last of it.

        What the queue has no room for stays until the next run.
        """
        seen: Digest | None = None
        while digests := await self._store.digests(after=seen or last, without=full):
            seen = digests[-1]
            if done := await self._submit_all(digests, full):
                await self._store.submitted(done)
        return seen

    async def _submit_all(self, digests: Sequence[Digest], full: set[int]) -> list[Digest]:
        """Return those that are over, and note bots whose queue is full."""
        over: list[Digest] = []
        composed: list[tuple[Digest, Outgoing]] = []
        for digest in digests:
            if not (text := digest_text(digest)):
                over.append(digest)  # everything is again as it was
            elif (message := self._message(digest, text)) is not None:
                composed.append((digest, message))
            else:
                self._metrics.count_digests("refused")
                over.append(digest)
        if composed:
            answers = await self._dispatcher.submit([message for _, message in composed])
            full |= {each.bot_id for each in answers if isinstance(each, QueueFull) and each.chat_id is None}
            over += [digest for (digest, _), answer in zip(composed, answers, strict=True) if self._is_over(answer)]
        return over

    def _message(self, digest: Digest, text: str) -> Outgoing | None:
        try:
            return self._composer.compose(
                digest.to.bot_id,
                digest.to.chat_id,
                "sendMessage",
                {"text": text},
                priority=Priority.LOW,
                dedup_key=digest.dedup_key,
                tag=TAG,
            )
        except Refusal:
            return None

    def _is_over(self, answer: Submission) -> bool:
        match answer:
            case Accepted() | Known():
                self._metrics.count_digests("submitted")
                return True
            case QueueFull() | LedgerError():
                return False
            case _:
                self._metrics.count_digests("refused")
                return True
