"""The bodies of requests and responses, one noun a file.

Read in this order:

    base      ``RequestModel`` and ``ResponseModel``
    fields    the types of fields
    sending   how a message is sent
    messages  a message to send, and its state
    queue     counts and dead letters
    bots      a bot
    limits    the limits
    services  a service, and a call of it that waits
    broadcasts  one message to many chats
    alerts    what is wrong
    tasks     a task, and how all of them are
    selections  a selection of chats
    health    whether the process is up
    errors    the body of every error
"""
