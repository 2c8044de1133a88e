"""Lets chats watch items that a source knows, and notifies them of changes.

    {"watches": {"source": "prices"}}

``source`` is the one that is meant where a command names none. docs/watches.md has the whole of it.

Read in this order:

    declared  ``tempogram.watched``, and the sources that it has declared
    json_api  a source: a JSON API over HTTP
    texts     items and changes as a person reads them
    digests   sends what has changed, in one message for each chat
    commands  /watch, /unwatch, /watches, /viewed and /plan
"""

from tempogram.bot.behaviours.watches.commands import NAME, check, router

__all__ = ["NAME", "check", "router"]
