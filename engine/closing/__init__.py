"""Messages that end without being sent.

Read in this order:

    closer         the one way to end them: expired, replaced, withdrawn, cancelled
    erasures       what is kept of chats whose data was erased, as a port
    reachability   which chats take nothing more, and what ends when a chat is lost
    eraser         erases what is known of a chat
"""
