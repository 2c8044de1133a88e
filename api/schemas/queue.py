"""The queue's counts, and the dead letters."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.api.schemas.broadcasts import RunningBroadcastsOut
from tempogram.api.schemas.fields import BotId, Flag, MessageId, QueryFlag
from tempogram.api.schemas.messages import BATCH_MAX, EXAMPLE_ID, LetterOut
from tempogram.engine.model.watches import WatchCounts

QUERY_IDS_MAX = 500
"""Ids in one address: of 64 characters each they have 35 KB, and a server reads 64."""


class LaneCounts(ResponseModel):
    """Each message is counted in exactly one of the five."""

    high: int
    normal: int
    low: int
    retry: int = Field(description="Tried, and waiting to be tried again.")
    dlq: int = Field(description="Dead letters.")


class WatchStatsOut(ResponseModel):
    """How much is watched; counts may be some seconds old."""

    items: int
    subscribers: int = Field(description="Chats that watch something.")
    due: int = Field(description="Items that are to be checked now; of each source counted up to 10,000.")
    failing: int = Field(description="Items for which their source did not answer the last time.")
    digests: int = Field(description="Chats that are still to be notified, counted up to 10,000.")
    pauses_s: dict[str, float] = Field(description="Seconds between two calls of each source; more while it fails.")

    @classmethod
    def of(cls, counts: WatchCounts) -> Self:
        return cls(
            items=counts.items,
            subscribers=counts.subscribers,
            due=counts.due,
            failing=counts.failing,
            digests=counts.digests,
            pauses_s={source: pause_ms / 1_000 for source, pause_ms in counts.pauses_ms.items()},
        )


class QueueStatsOut(ResponseModel):
    """How many messages are open, and how many are dead letters."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "stats": {"high": 0, "normal": 5, "low": 2, "retry": 1, "dlq": 0},
                    "total_queued": 8,
                    "total_failed": 0,
                }
            ]
        }
    )

    stats: LaneCounts
    total_queued: int
    total_failed: int
    watches: WatchStatsOut | None = Field(None, description="Left out where no source of watches is declared.")
    broadcasts: RunningBroadcastsOut | None = Field(None, description="Left out while none runs.")


class DeadLettersOut(ResponseModel):
    """One page. ``next_after`` is the ``after`` of the next page; null: this is the last."""

    letters: list[LetterOut]
    next_after: str | None


class Selection(RequestModel):
    """A selection of dead letters: by ids, all of one bot, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": [EXAMPLE_ID]}, {"bot": "123456"}, {"all": True}],
            "oneOf": [
                given("ids", type="array"),
                given("bot", type=["string", "integer"]),
                given("all", const=True),
            ],
        }
    )

    ids: list[MessageId] | None = Field(None, min_length=1, max_length=BATCH_MAX)
    bot: BotId | None = None
    all: Flag = False

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if [self.ids is not None, self.bot is not None, self.all].count(True) != 1:
            raise ValueError("say which dead letters: one of ids, bot and all")
        return self


class SelectionQuery(Selection):
    """The same selection in a query."""

    ids: list[MessageId] | None = Field(None, min_length=1, max_length=QUERY_IDS_MAX)
    all: QueryFlag = False


class ReplayedOut(ResponseModel):
    """How many dead letters were queued again."""

    replayed: int


class PurgedOut(ResponseModel):
    """How many dead letters were removed."""

    purged: int
