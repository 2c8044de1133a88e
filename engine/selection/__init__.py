"""Whom a bot writes to of its own accord, and when in their own day.

Read in this order:

    days      what day and what time of day it is, in every zone
    campaign  which chats to write to, each once on a local date
"""
