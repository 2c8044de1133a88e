"""What the database has of a chat: to hand it over, and to erase it.

Read in this order:

    of_chats  which tables have something of a chat, and which of their rows
    export    reads all of it
    erasures  deletes it, and keeps the chat from being written to
"""
