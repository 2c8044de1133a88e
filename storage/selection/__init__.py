"""Whom a bot writes to of its own accord, found in sets; and the fence of its messages.

Read in this order:

    audience    selections and claims, as the engine asks for them
    search      one selection, at one moment
    zones       what day it is for the chats of a bot, zone by zone
    chosen      which chats are meant, and why some of them are left out: one query
    windows     cuts the chats of a bot into pieces that a query goes through
    claims      the rows that let a campaign write to a chat once on a local date
"""
