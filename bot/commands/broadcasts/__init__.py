"""``tempogram broadcast``: one message to many chats, over the API.

Read in this order:

    commands  makes, previews and controls broadcasts
    shown     broadcasts and previews in words
"""
