"""Whom a bot writes to of its own accord, and when in their own day.

Read in this order:

    days      what day and what time of day it is, in every zone
    quiet     when a chat's quiet hours end
    campaign  which chats to write to, each once on a local date
"""
