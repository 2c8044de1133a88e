"""The Bot API: turns calls into messages of the engine, and messages into HTTP calls.

Read in this order:

    methods          which methods count, what they cost, whose limit they use
    engine_loop      the event loop in which calls run, wherever they are made
    references       which messages a call names, and what it does with them
    aiogram_import   imports aiogram in a quarter of its time
    method_classes   aiogram's class of each method
    composer         turns a call into a message of the engine
    priority         the priority of an answer
    update_context   the update that a call belongs to
    edit_coalescing  which edits of a message replace one another
    attachments      stores the files of a message
    call_body        the body of a message's call, and its files as a form
    transport        sends a message and returns its outcome
    round_trips      how much of a round trip an answer's time may be dated back
    responses        classifies Telegram's answers
    refusals         what a refusal means by the history of its message
    albums           the outcome of an album that arrived in part
    upload_packing   puts stored files into a call
    connections      our own HTTP connections
    tokens           the format of a bot token
"""
