"""Gathers while busy: what comes while one batch is under way goes together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item]):
    """Sends one batch at a time, in a task of its own. There is no delay: an item that comes alone goes alone, at once.

    Args:
        send: Gets the oldest items, in their order. If it raises, the sending stops; the next item begins it again.
        batch_max: Weight of one batch; an item that weighs more is a batch of its own.
        waiting_max: Items that may wait while one batch is under way; None: any number.
        weigh: What an item counts in a batch; None: 1.
        on_stop: Gets what still waits if the sending stops; None: it waits for the next item.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[None]],
        *,
        batch_max: int,
        waiting_max: int | None = None,
        weigh: Callable[[Item], int] | None = None,
        on_stop: Callable[[Sequence[Item]], None] | None = None,
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._weigh = weigh
        self._on_stop = on_stop
        self._waiting: deque[Item] = deque()
        self._sending: asyncio.Task[None] | None = None
        self.is_busy = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, item: Item) -> bool:
        """Send an item soon; False, and nothing is done, if too many wait."""
        if self._waiting_max is not None and len(self._waiting) >= self._waiting_max:
            return False
        self._waiting.append(item)
        if not self.is_busy:
            self._go_on()
        return True

    def begin(self) -> None:
        """Begin a batch that its caller sends by itself, while none is under way; ``end`` must follow."""
        self.is_busy = True

    def end(self) -> None:
        """End such a batch: what came meanwhile is sent."""
        self._go_on()

    async def emptied(self) -> None:
        """Wait until everything that was put in has been sent, or failed to be; raises nothing of that."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    def _go_on(self) -> None:
        self.is_busy = bool(self._waiting)
        if self._waiting:
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
        finally:
            self.is_busy = False
            if self._waiting and self._on_stop is not None:
                left = list(self._waiting)
                self._waiting.clear()
                self._on_stop(left)

    def _take(self) -> list[Item]:
        waiting, weigh = self._waiting, self._weigh
        if weigh is None:
            return [waiting.popleft() for _ in range(min(self._batch_max, len(waiting)))]
        batch = [waiting.popleft()]
        weight = weigh(batch[0])
        while waiting and weight + (more := weigh(waiting[0])) <= self._batch_max:
            batch.append(waiting.popleft())
            weight += more
        return batch


class BatchedCalls(Generic[Item, Answer]):
    """A call that takes a batch, for callers that have one item each and wait for its answer.

    An item that comes alone is a call at once, in its caller's task.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, batch_max: int) -> None:
        self._call = call
        self._batcher = Batcher(self._call_together, batch_max=batch_max, on_stop=_cancel)

    async def ask(self, item: Item) -> Answer:
        """Return the answer to one item; an error of the call is raised to each of its callers."""
        if self._batcher.is_busy:
            question: _Question[Item, Answer] = _Question(item, asyncio.get_running_loop().create_future())
            self._batcher.put(question)
            return await question.future
        self._batcher.begin()
        try:
            return (await self._call((item,)))[0]
        finally:
            self._batcher.end()

    async def _call_together(self, questions: list[_Question[Item, Answer]]) -> None:
        try:
            answers = await self._call([each.item for each in questions])
        except Exception as error:  # noqa: BLE001 - each caller must get it, whatever it is
            for each in questions:
                if not each.future.done():
                    each.future.set_exception(error)
        except BaseException:
            _cancel(questions)
            raise
        else:
            for each, answer in zip(questions, answers, strict=True):
                if not each.future.done():
                    each.future.set_result(answer)


@dataclass(frozen=True, slots=True)
class _Question(Generic[Item, Answer]):
    item: Item
    future: asyncio.Future[Answer]


def _cancel(questions: Sequence[_Question[Item, Answer]]) -> None:
    for each in questions:
        each.future.cancel()
