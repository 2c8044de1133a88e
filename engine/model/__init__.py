"""The values that travel, and the clock. They import nothing of ours.

Read in this order:

    messages       a Bot API call that was not made yet, its lease, and how a lease ends
    conversations  its chat, or what a bot says there in the name of a business account
    outcomes       what Telegram answered
    ids            message ids that sort by the time of submission
    selection      which chats are meant, and the rules of campaigns
    watches        what is watched, by which rules, and what became of it
    broadcasts     one message to many chats, and how far it is
    texts          characters that have no place in a name
    errors         everything the engine raises
    zones          time zones by their name
    clock          what time it is, as a value that is passed in
    batching       cuts a long list into batches
"""
