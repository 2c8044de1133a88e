"""While Telegram fails some bots or chats, the others are sent as if nothing had happened.

Read in this order:

    probes    messages whose waits are judged, at planned instants
    troubles  lets calls of some bots hang or fail, or of all
    waits     how long the others' messages waited meanwhile
"""
