"""The bodies of requests and responses, one noun a file.

Read in this order:

    base      ``RequestModel`` and ``ResponseModel``
    fields    the types of fields
    local_times  times of a chat's own day, quiet hours, time zones
    sending   how a message is sent
    messages  a message to send, and its state
    history   what was sent and received
    queue     counts and dead letters
    bots      a bot
    chats     what is known of a chat
    reengagement  whom a bot would re-engage
    limits    the limits
    services  a service, and a call of it that waits
    broadcasts  one message to many chats
    alerts    what is wrong
    access/   who may do what, and who did
    tasks     a task, and how all of them are
    selections  a selection of chats
    watches   what chats watch
    health    whether the process is up
    errors    the body of every error
"""
