"""Commands about the chats of a bot, and what it writes to them of its own accord.

Read in this order:

    selection  ``tempogram select``: which chats a bot would write to, over the API
"""
