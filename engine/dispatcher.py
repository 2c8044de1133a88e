"""The way in: into the ledger first, then into the queue, and out at once if it may go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.batching import batches, runs
from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.errors import (
    BrokerUnavailable,
    ChatUnreachable,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports import Accepted, Admission, Broker, Known, Ledger, Queued, References, Refused, Verdict
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.ports.watcher import Watcher
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import observed
from tempogram.engine.sending.slots import SlotSource

log = structlog.get_logger()

RETRY_WITHIN_S = 1.0
"""Time a submission may spend on a second attempt to admit. untuned: a broker that answers at all does so sooner."""

Submission = Accepted | Known | QueueFull | ChatUnreachable | TargetLost | LedgerError


class Dispatcher:
    """Accepts messages. With a worker in the same process, what may go now goes now.

    Args:
        worker: Sends at once what may go; ``NoWorker`` in a process that sends nothing.
        conditions: Shows for a while that the ledger has refused a submission.
        references: Gives a message its place that refers to others by handles; None: none does.
        count_drops: Gets the number of messages that a cap has refused.
        watcher: Is notified of messages that wait.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        reachability: Reachability,
        closer: Closer,
        worker: SlotSource,
        pending_admissions: PendingAdmissions,
        conditions: Conditions,
        count_drops: Callable[[int], None],
        references: References | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._reachability = reachability
        self._closer = closer
        self._worker = worker
        self.pending_admissions = pending_admissions
        self._conditions = conditions
        self._count_drops = count_drops
        self._references = references
        self._watcher = watcher
        self._under_way: set[asyncio.Task[list[Submission]]] = set()

    async def submit(self, messages: Sequence[Outgoing]) -> list[Submission]:
        """Accept messages; one answer each, in their order.

        Returns:
            Accepted: It is in the ledger, and ends as exactly one of the final statuses.
            Known: The same ``dedup_key`` was accepted before; nothing was done.
            QueueFull: Too much waits already; nothing was accepted. (A value here: its neighbours went in.)
            ChatUnreachable: The chat takes nothing; nothing was accepted. (A value, for the same reason.)
            TargetLost: It refers to what is not there, or was not sent; nothing was accepted. (Likewise.)
            UnstorableValue: The ledger takes no such message; nothing was accepted. (Likewise.)
            LedgerError: It was not accepted, as far as can be known, but others before it were.

        Raises:
            LedgerError: Nothing was accepted, as far as can be known; see ``LedgerError``.
        """
        # Shielded: a caller that is cancelled in between would leave in the ledger what the queue does not know.
        submission = asyncio.create_task(self._submit(messages))
        self._under_way.add(submission)
        submission.add_done_callback(self._under_way.discard)
        return await asyncio.shield(submission)

    async def refusal(self, message: Outgoing) -> ChatUnreachable | None:
        """Return why ``submit`` would refuse a message now. For callers that would upload much first."""
        refusal = self._reachability.refusal(message)
        if refusal is None or (await self._ledger.known([message]))[0] is not None:
            return None
        return refusal

    async def _submit(self, messages: Sequence[Outgoing]) -> list[Submission]:
        references = self._references
        if references is None or not any(map(references.may_refer, messages)):
            return await self._submit_placed(messages)
        answers: list[Submission] = []
        # A message finds its place among those that were accepted, so two that refer to one target go in separately.
        for run in runs(messages, lambda message: message.bot_id if references.may_refer(message) else None):
            try:
                answers += await self._submit_run(references, run)
            except LedgerError as error:
                if not answers:
                    raise
                return answers + [error] * (len(messages) - len(answers))  # raised, it would have all submitted again
        return answers

    async def _submit_run(self, references: References, messages: Sequence[Outgoing]) -> list[Submission]:
        """Find the place of those that refer to others, then accept all in their order."""
        referring = [message for message in messages if references.may_refer(message)]
        async with AsyncExitStack() as order:
            for bot_id in sorted({message.bot_id for message in referring}):  # sorted: no deadlock with another batch
                await order.enter_async_context(references.in_order(bot_id))
            found = iter(await self._find_places(references, referring))
            placed = [next(found) if references.may_refer(message) else message for message in messages]
            accepted = iter(await self._submit_placed([each for each in placed if not isinstance(each, TargetLost)]))
            return [each if isinstance(each, TargetLost) else next(accepted) for each in placed]

    async def _find_places(self, references: References, messages: Sequence[Outgoing]) -> list[Outgoing | TargetLost]:
        with observed(self._conditions):
            known = await self._ledger.known(messages)
            return [
                await references.place(message) if before is None else message
                for message, before in zip(messages, known, strict=True)
            ]

    async def _submit_placed(self, messages: Sequence[Outgoing]) -> list[Submission]:
        refusals = [self._reachability.refusal(message) for message in messages]
        if not any(refusals):
            return await self._accept(messages)
        lost = [message for message, refusal in zip(messages, refusals, strict=True) if refusal]
        known = iter(await self._ledger.known(lost))  # what was accepted while the chat could be reached stays so
        accepted = iter(
            await self._accept([message for message, refusal in zip(messages, refusals, strict=True) if not refusal])
        )
        return [(next(known) or refusal) if refusal else next(accepted) for refusal in refusals]

    async def _accept(self, messages: Sequence[Outgoing]) -> list[Submission]:
        if not messages:
            return []
        answers: list[Submission] = list(await self._add(messages))
        known = [answer for answer in answers if isinstance(answer, Known)]
        await self._ensure_queued([each.message_id for each in known if each.status is Status.QUEUED])
        indices = [index for index, answer in enumerate(answers) if isinstance(answer, Accepted)]
        for batch in batches(indices, BATCH_MAX):
            for index, refused in await self._admit_batch(messages, batch):
                answers[index] = QueueFull(refused.bot_id, refused.chat_id, refused.cap)
            if len(indices) > BATCH_MAX:
                await asyncio.sleep(0)  # 10,000 at once would block the event loop
        return answers

    async def _ensure_queued(self, message_ids: Sequence[str]) -> None:
        """Admit what was accepted before, if it is not queued: a submission is repeated after an error."""
        if not message_ids:
            return
        self.pending_admissions.note(message_ids)
        await self._try_pending()

    async def _add(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        try:
            return await self._ledger.add(messages)
        except UnstorableValue as error:
            if len(messages) == 1:
                return [error]
            half = len(messages) // 2  # so that the others are accepted; what was added before is accepted again
            return [*await self._add(messages[:half]), *await self._add(messages[half:])]
        except LedgerError:
            # If only the commit's answer was lost, they are there, and would not be admitted for a minute.
            with observed(self._conditions):
                return await self._ledger.add(messages)

    async def _admit_batch(self, messages: Sequence[Outgoing], indices: Sequence[int]) -> list[tuple[int, Refused]]:
        batch = [messages[index] for index in indices]
        verdicts = await self._admit_or_note(batch)
        await self._closer.record_replaced(batch, verdicts)
        refused = [
            (index, verdict) for index, verdict in zip(indices, verdicts, strict=False) if isinstance(verdict, Refused)
        ]
        if not refused or not await self._discard([messages[index].id for index, _ in refused]):
            return []
        self._count_drops(len(refused))
        return refused

    async def _discard(self, message_ids: Sequence[str]) -> bool:
        """Take refused messages out of the ledger; False if it kept them, so that they are accepted after all."""
        try:
            await self._ledger.discard(message_ids)
        except LedgerError as error:
            log.warning("message_accepted_beyond_cap", messages=len(message_ids), error=str(error))
            return False
        return True

    async def _admit_or_note(self, batch: Sequence[Outgoing]) -> Sequence[Verdict]:
        """Admit a batch, and send at once what may go. No verdicts if the broker is away: the ledger has them all.

        It is tried once more before the caller has its answer: a connection that broke is soon another, and what the
        caller submits next, perhaps to another process, must not overtake it.
        """
        was_behind = self.pending_admissions.is_behind
        try:
            await self.pending_admissions.admit()
            with self._worker.reserved(len(batch)) as slots:
                admission = await self._broker.admit(
                    batch, worker_id=self._worker.worker_id, slots=slots.count, connections=slots.connections
                )
                slots.leased = admission.leased
        except (BrokerUnavailable, LedgerError):
            self.pending_admissions.note(message.id for message in batch)
        else:
            self._notify_watcher(batch, admission)
            return admission.verdicts
        if not was_behind:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_WITHIN_S):
                    await self._try_pending()
        return ()

    def _notify_watcher(self, batch: Sequence[Outgoing], admission: Admission) -> None:
        if self._watcher is None:
            return
        leased = {lease.message.id for lease in admission.leased.leases}
        is_queued = [isinstance(verdict, Queued) for verdict in admission.verdicts]
        self._watcher.queued(
            [each for each, waits in zip(batch, is_queued, strict=True) if waits and each.id not in leased]
        )

    async def _try_pending(self) -> None:
        with suppress(BrokerUnavailable, LedgerError):  # reported there
            await self.pending_admissions.admit()

    async def readmit(self, messages: Sequence[Outgoing]) -> None:
        """Admit messages that the ledger has accepted before (a replay), whatever the caps say.

        Their chats are tried once more, even if they are unreachable: a replay is an operator's decision.
        """
        for message in messages:
            if (name := conversation_of(message)) is not None:
                self._reachability.mark_reachable(message.bot_id, name)
        for batch in batches(messages, BATCH_MAX):
            admission = await self._broker.admit(batch, worker_id="", slots=0, capped=False)
            await self._closer.record_replaced(batch, admission.verdicts)
