"""The chats of a bot, and what it writes to them of its own accord, over the API.

Read in this order:

    chats         ``tempogram chats``: what is known of them
    file_import   reads a list of chats piece by piece
    selection     ``tempogram select``: which of them a bot would write to
    reengagement  ``tempogram reengagement``: whom a bot would re-engage
"""
