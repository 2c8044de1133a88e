"""What is watched, by whom, what was observed, and what is still to be said of it.

Read in this order:

    due            which items are to be checked now: one query with five presets
    rows           an item as a row, and its first one
    checks         what came of asking for an item
    counts         how much of it there is
    digests        what a chat is to be notified of
    plans          how many items a chat may watch
    subscriptions  which chats watch which items
    watches        all of it
"""
