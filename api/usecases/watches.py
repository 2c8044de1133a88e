"""Shows what is watched, and changes who watches what, and by which plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.watches import (
    MemberIn,
    ObservationOut,
    ObservationsOut,
    PlanIn,
    PlanOut,
    PlansOut,
    SourceOut,
    SubscriptionIn,
    SubscriptionOut,
    WatchedOut,
    WatchedPageOut,
    WatchesOut,
)
from tempogram.api.usecases.known_bots import check_bot
from tempogram.engine.model.watches import Item, Plan, Subscriber, UnknownPlan, UnknownSource, WatchesFull
from tempogram.engine.watches.watches import Watches

NO_SOURCE = "nothing can be watched here, as no source is declared; see docs/watches.md"


async def show(dependencies: Dependencies) -> WatchesOut:
    watches = _watches(dependencies)
    counts = await watches.counts()
    return WatchesOut(
        preset=watches.rules.preset,
        sources=[
            SourceOut(name=each.name, service=each.service, operation=each.operation)
            for each in watches.sources.values()
        ],
        items=counts.items,
        subscriptions=counts.subscriptions,
        due=counts.due,
        failing=counts.failing,
        waiting=counts.waiting,
    )


async def items(dependencies: Dependencies, *, source: str, after: str, limit: int) -> WatchedPageOut:
    page = await _watches(dependencies).store.items(source=source, after=after, limit=limit)
    next_after = page[-1].item.key if len(page) == limit else None
    return WatchedPageOut(items=[WatchedOut.of(each) for each in page], next_after=next_after)


async def observations(dependencies: Dependencies, item: Item, *, limit: int) -> ObservationsOut:
    """Raise ``NotFound`` if nothing is known of the item."""
    watches = _watches(dependencies)
    if await watches.store.item(item) is None:
        raise NotFound(f"no chat watches {item}")
    seen = await watches.observations(item, limit=limit)
    return ObservationsOut(observations=[ObservationOut.of(each) for each in seen])


async def subscribe(dependencies: Dependencies, wanted: SubscriptionIn) -> SubscriptionOut:
    await check_bot(dependencies.bots, wanted.bot)
    with _refusals():
        added = await _watches(dependencies).watch(
            Subscriber(wanted.bot, wanted.chat_id), Item(wanted.source, wanted.key)
        )
    return SubscriptionOut(changed=added)


async def end(dependencies: Dependencies, meant: SubscriptionIn) -> SubscriptionOut:
    ended = await _watches(dependencies).end(Subscriber(meant.bot, meant.chat_id), Item(meant.source, meant.key))
    return SubscriptionOut(changed=ended)


async def plans(dependencies: Dependencies) -> PlansOut:
    return PlansOut(plans=[PlanOut.of(each) for each in await _watches(dependencies).store.plans()])


async def put_plan(dependencies: Dependencies, name: str, wanted: PlanIn) -> PlanOut:
    plan = Plan(
        name=name,
        items_max=wanted.items_max,
        interval_ms=wanted.interval_s * 1_000,
        priority=wanted.priority,
        is_open=wanted.is_open,
    )
    await _watches(dependencies).store.put_plan(plan)
    return PlanOut.of(plan)


async def give_plan(dependencies: Dependencies, wanted: MemberIn) -> PlanOut:
    watches, to = _watches(dependencies), Subscriber(wanted.bot, wanted.chat_id)
    await check_bot(dependencies.bots, wanted.bot)
    with _refusals():
        await watches.store.give_plan(to, wanted.plan)
    return PlanOut.of(await watches.store.plan_of(to, watches.rules))


def _watches(dependencies: Dependencies) -> Watches:
    if dependencies.watches is None:
        raise Refusal(NO_SOURCE)
    return dependencies.watches


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (WatchesFull, UnknownSource, UnknownPlan) as error:
        raise Refusal(str(error)) from None
