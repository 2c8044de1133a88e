"""The simulated world: bots, chats and users.

Read in this order:

    world           bots, chats, users, and what they do
    user_actions    files, inline queries, payments, joining
    messages        what the chats show
    texts           entities, commands and mentions in a text
    files           what bots uploaded
    stars           what bots earned and paid
    mailbox         a bot's updates that wait
    scripted_users  users that write by themselves
"""
