"""The order in which updates are handled: within the key under which aiogram keeps a state."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
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
    Items of one album start together if none came between them: the first often waits for the others.
    """

    def __init__(self) -> None:
        self._groups: dict[Hashable, deque[_Group[Item]]] = {}
        self._group_of: dict[Item, tuple[Hashable, _Group[Item]]] = {}

    def add(self, key: Hashable, item: Item, *, waits: bool, album: str | None = None) -> bool:
        """Return whether the item may start now; if not, a later ``release`` returns it."""
        groups = self._groups.setdefault(key, deque())
        joins = bool(groups) and groups[-1].is_joined_by(album)
        may_start = not waits or not groups or (joins and len(groups) == 1)
        if not groups or (waits and not joins):
            groups.append(_Group(album))
        self._group_of[item] = key, groups[-1]
        if may_start:
            groups[-1].ahead += 1
        else:
            groups[-1].waiting.append(item)
        return may_start

    def release(self, item: Item) -> list[Item]:
        """Have one item less ahead of those behind it; return what may start now: the next, or a whole album."""
        key, group = self._group_of.pop(item)
        group.ahead -= 1
        groups = self._groups[key]
        if groups[0].ahead:
            return []
        groups.popleft()
        if not groups:
            del self._groups[key]
            return []
        return groups[0].start()


@dataclass(slots=True, eq=False)
class _Group(Generic[Item]):
    """An item or an album that waits for what came before it, or has, and the queries that came after it.

    Attributes:
        ahead: So many of them run.
    """

    album: str | None
    waiting: list[Item] = field(default_factory=list)
    ahead: int = 0

    def is_joined_by(self, album: str | None) -> bool:
        return album is not None and album == self.album

    def start(self) -> list[Item]:
        started, self.waiting = self.waiting, []
        self.ahead += len(started)
        return started


def is_query(content: Mapping[str, Any]) -> bool:
    """Tell whether an update starts at once.

    >>> is_query({"update_id": 1, "inline_query": {}}), is_query({"update_id": 1, "message": {}})
    (True, False)
    """
    return not QUERIES.isdisjoint(content)


def album_of(content: Mapping[str, Any]) -> str | None:
    """Return the album of which an update brings one item; None: of none.

    Source: https://core.telegram.org/bots/api#message (``media_group_id``)

    >>> album_of({"update_id": 1, "message": {"media_group_id": "7"}}), album_of({"update_id": 1, "message": {}})
    ('7', None)
    """
    album = _event_in(content)[1].get("media_group_id")
    return album if isinstance(album, str) else None


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
