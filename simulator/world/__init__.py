"""The simulated world: bots, chats and people.

Read in this order:

    world           bots, chats, users, and what they do
    messages        what the chats show
    texts           entities, commands and mentions in a text
    files           what bots uploaded
    mailbox         a bot's updates that wait
    scripted_users  people who talk by themselves
"""
