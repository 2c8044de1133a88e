"""Writes to users who have gone quiet, once on a local day. The model for a behaviour of one's own that acts in time.

Read in this order:

    settings  what a bot's owner chooses
    task      every quarter of an hour: whose hour it is, and a message to each
    writer    the text: by a language model, or from a template
    dry_run   who would get what
    router    what users may do about it: opt out
"""

from tempogram.bot.behaviours.reengagement.router import listener, router
from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN as NAME
from tempogram.bot.behaviours.reengagement.settings import check

__all__ = ["NAME", "check", "listener", "router"]
