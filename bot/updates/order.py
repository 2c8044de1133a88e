"""The order in which updates are handled: within the key under which aiogram keeps a state."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

QUERIES = frozenset({"callback_query", "inline_query", "pre_checkout_query", "shipping_query"})
"""A user waits in front of a spinner, and a handler may wait for the press of a button: these start at once."""


class Order(StrEnum):
    """What the updates are of that are handled one after another."""

    USER = "user"  # in a chat and topic; one that runs for long does not hold up the next
    CHAT = "chat"  # strictly: an update waits until the one before it has ended


class OrderKey(NamedTuple):
    """What aiogram tells states apart by, whichever its strategy; None where an update has none.

    Source: https://docs.aiogram.dev/en/latest/dispatcher/finite_state_machine/strategy.html
    """

    chat_id: int | None = None
    user_id: int | None = None
    topic_id: int | None = None
    business_connection_id: str | None = None


class UpdateOrder(Generic[Item]):
    """Holds back what must wait for others of its key that came before it.

    An item is *ahead* until ``release`` says that it has ended, or that the next need not wait for it any longer.
    """

    def __init__(self) -> None:
        self._groups: dict[Hashable, deque[_Group[Item]]] = {}
        self._group_of: dict[Item, tuple[Hashable, _Group[Item]]] = {}

    def add(self, key: Hashable, item: Item, *, waits: bool) -> bool:
        """Return whether the item may start now; if not, a later ``release`` returns it."""
        groups = self._groups.setdefault(key, deque())
        must_wait = waits and bool(groups)
        if must_wait or not groups:
            groups.append(_Group(item))
        self._group_of[item] = key, groups[-1]
        groups[-1].ahead += not must_wait
        return not must_wait

    def release(self, item: Item) -> Item | None:
        """Have one item less ahead of those behind it; return the next if it may start now."""
        key, group = self._group_of.pop(item)
        group.ahead -= 1
        groups = self._groups[key]
        if groups[0].ahead:
            return None
        groups.popleft()
        if not groups:
            del self._groups[key]
            return None
        groups[0].ahead += 1
        return groups[0].first


@dataclass(slots=True, eq=False)
class _Group(Generic[Item]):
    """An item that waits for those before it, or has, and the queries that came after it; ``ahead`` of them run."""

    first: Item
    ahead: int = 0


def is_query(content: Mapping[str, Any]) -> bool:
    """Tell whether an update starts at once.

    >>> is_query({"update_id": 1, "inline_query": {}}), is_query({"update_id": 1, "message": {}})
    (True, False)
    """
    return not QUERIES.isdisjoint(content)


def order_key(content: Mapping[str, Any], order: Order = Order.USER) -> OrderKey:
    """Return the key of an update, which may be any JSON object.

    >>> pressed = {"from": {"id": 4}, "message": {"chat": {"id": -5}, "message_thread_id": 7, "is_topic_message": True}}
    >>> tuple(order_key({"update_id": 1, "callback_query": pressed}))
    (-5, 4, 7, None)
    >>> order_key({"update_id": 1, "callback_query": pressed}, Order.CHAT).user_id
    >>> tuple(order_key({"update_id": 1, "inline_query": {"from": {"id": 4}}}))
    (4, 4, None, None)
    """
    kind, event = _event_in(content)
    message = event.get("message")
    holder = message if isinstance(message, dict) else event
    user_id = _id(event.get("from"), event.get("user"), _booster(event))
    chat_id = _id(holder.get("chat"), event.get("voter_chat"))
    chat_id = user_id if chat_id is None else chat_id
    if order is Order.CHAT:
        return OrderKey(chat_id)
    return OrderKey(chat_id, user_id, _topic(kind, holder), _business(kind, event, holder))


def _event_in(content: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return next(((kind, event) for kind, event in content.items() if isinstance(event, dict)), ("", {}))


def _id(*holders: object) -> int | None:
    """Return the first id in these objects."""
    for holder in holders:
        if isinstance(holder, dict) and isinstance(holder.get("id"), int):
            return int(holder["id"])
    return None


def _booster(event: Mapping[str, Any]) -> object:
    """Return the user of a boost by Telegram Premium; any other names one that has received it."""
    boost = event.get("boost")
    source = boost.get("source") if isinstance(boost, dict) else None
    return source.get("user") if isinstance(source, dict) and source.get("source") == "premium" else None


def _topic(kind: str, holder: Mapping[str, Any]) -> int | None:
    topic_id = holder.get("message_thread_id")
    is_topic = kind == "stopped_message_generation" or holder.get("is_topic_message")
    return topic_id if is_topic and isinstance(topic_id, int) else None


def _business(kind: str, event: Mapping[str, Any], holder: Mapping[str, Any]) -> str | None:
    connection_id = event.get("id") if kind == "business_connection" else holder.get("business_connection_id")
    return connection_id if isinstance(connection_id, str) else None
