"""The Bot API: from a call to a message of the engine, and from a message to an HTTP call.

Read in this order:

    methods          which calls count, what they cost, whose limit they use
    session          under every ``Bot``: no call goes round the engine
    composer         from a call to a message of the engine
    priority         whether an update is addressed to the bot, and so urgent
    update_context   the update that a call belongs to
    edit_coalescing  which edits of a message replace one another
    attachments      the files of a message, into storage
    fast_validation  a plain call, checked without a pydantic model
    transport        sends a message and returns its outcome
    responses        what an answer of Telegram means
    albums           what an album's answer means for each of its items
    upload_packing   the files of a message, out of storage
    multipart        a request with files, as bytes
    connections      HTTP connections of our own
    tokens           what a bot's token looks like
"""
