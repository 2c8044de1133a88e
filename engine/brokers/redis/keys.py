"""Every Redis key and channel, for a look with ``redis-cli``.

    {q2}:state                           the queue as a whole: incarnation, time, turns, ceiling      string, record
    {q2}:limits                          what it acts by                                              string, record
    {q2}:ledger                          id of the ledger to which the queue belongs                  string
    {q2}:clock                           how far its time is ahead of that of Redis, if they differ       string, ms
    {q2}:counts                          open messages: high, normal, low, retry                      hash
    {q2}:messages                        every open message by its id                                 hash of records
    {q2}:bots                            ids of the bots it ever met                                  set
    {q2}:timers                          what is looked at again, by when                             zset, ms
    {q2}:expiries                        waiting ids by the time at which they expire                 zset, ms
    {q2}:leases                          leased ids by their deadline                                 zset, ms
    {q2}:bell                            its last entry wakes the workers that sleep                  stream
    {q2}:group:<line>                    bots of which something may go, by pass                      zset
    {q2}:bot:<bot>                       one bot: limit, holds, turns                                 string, record
    {q2}:purse:<bot>                     what it pays for                                             string, msgpack
    {q2}:aliases:<bot>                   ids of chats that have another id now                        hash
    {q2}:ready:<line>:<bot>              lanes that may go, by pass                                   zset
    {q2}:paid:<line>:<bot>               the same, whose heads are to be paid for                     zset
    {q2}:failed:<line>:<bot>             lanes that may go, of chats whose last call failed           zset
    {q2}:failed_paid:<line>:<bot>        the same, whose heads are to be paid for                     zset
    {q2}:lanes:<line>:<bot>              chats for which something waits                              set
    {q2}:chat:<bot>:<chat>               one chat: limit, holds, flying, lanes; expires by itself     string, record
    {q2}:lane:<line>:<bot>:<chat>        waiting ids in order, if there was ever more than one        zset
    {q2}:later:<bot>:<chat>              ids of what is scheduled                                     set
    {q2}:edits:<bot>:<chat>              waiting edits by what they change                            zset
    {q2}:user:<bot>:<user>               one user's limit; expires by itself                          string, record
    {q2}:user_lanes:<bot>:<user>         lanes whose heads it made the bot send                       set

    {q}:news                             what processes changed that others keep in memory            stream
    {q}:results:<process>                answers for calls that this process awaits                   channel

What ``LLEN queue:high`` would be elsewhere is ``HGET {q2}:counts high`` here, and
``ZCARD {q2}:leases`` is what is in flight. ``{q2}`` is a hash tag: all keys live in one slot of a
cluster, because one script takes the places of a bot, a chat and the ceiling together. The number in it
is ``SCHEMA``, so that no version reads what it does not understand; the last two, all versions share.

A record is numbers and words at fixed places; the files of ``lua/shared/`` that are named for its owner write it.

A line is a priority (``high``), or ``uncounted_high`` and so on for what takes no place.
A chat is written as its id, ``@name``, ``'`` and any other name, or nothing where no chat is meant.
"""

from __future__ import annotations

import re

from tempogram.engine.model.messages import PRIORITIES, ChatId

SCHEMA = 2
"""The version of the queue's keys and records and of what stands in them: a change of any makes it one higher.

Processes of different schemas run side by side, and only those of one of them send; see docs/decisions/0013."""

NEWS = "{q}:news"

LINES = (*map(str, PRIORITIES), *(f"uncounted_{priority}" for priority in PRIORITIES))
"""How the lines of a bot are named: one for each priority, and one for what of it is uncounted."""


def prefix(schema: int = SCHEMA) -> str:
    """Return how the keys of a queue of this schema begin."""
    return f"{{q{schema}}}:"


def schema_of(key: bytes) -> int | None:
    """Return the schema of the queue to which a key belongs, or None if it belongs to none.

    >>> schema_of(b"{q12}:state"), schema_of(b"{q}:news"), schema_of(b"{q1x}:state")
    (12, None, None)
    """
    found = re.match(rb"\{q(\d+)\}:", key)
    return int(found[1]) if found else None


def ledger(schema: int = SCHEMA) -> str:
    """Return the key of the id of the ledger to which a queue of this schema belongs."""
    return f"{prefix(schema)}ledger"


def results(process: str) -> str:
    """Return the channel of a process, whose number is written as in the ids that it makes: 8 hex digits."""
    return f"{{q}}:results:{process}"


def lanes(bot_id: str, place: int) -> str:
    """Return the key, without its prefix, of the chats for which a bot has something of a priority waiting."""
    return f"lanes:{PRIORITIES[place]}:{bot_id}"


def chat_name(chat_id: ChatId | None) -> str:
    """Return how a chat is written in keys.

    >>> chat_name(-100), chat_name("@news"), chat_name("inline:7"), chat_name(None)
    ('-100', '@news', "'inline:7", '')
    """
    match chat_id:
        case None:
            return ""
        case int():
            return str(chat_id)
        case str():
            return chat_id if chat_id.startswith("@") else f"'{chat_id}"


def chat_id_of(name: str) -> ChatId | None:
    """Return the chat that is written so.

    >>> [chat_id_of(chat_name(chat_id)) for chat_id in (-100, "@news", "inline:7", "7", None)]
    [-100, '@news', 'inline:7', '7', None]
    """
    match name[:1]:
        case "":
            return None
        case "@":
            return name
        case "'":
            return name[1:]
        case _:
            return int(name)
