"""The Telegram side: bots, updates, behaviours and the command line; it runs ``api``, ``storage`` and ``engine``.

Read in this order:

    config/      settings, process roles, the data directory, logging
    calls/       calls of a Bot: into the engine, and the answer back
    telegram/    turns Bot API calls into messages of the engine, and messages into HTTP calls
    proxy/       the proxy between us and Telegram
    validation/  refuses calls that Telegram is certain to refuse
    door/        what the API needs to serve the Bot API itself
    updates/     incoming updates: webhooks, polling, the inbox, the handlers
    fleet/       adds, changes and removes bots
    behaviours/  decides what a bot answers
    tasks/       declares what is done at its time
    fsm/         aiogram's states, in the database
    generator/   writes the text of an answer: templates, or a language model
    alerts/      the channels of alerts: webhooks, a chat, e-mail
    broadcasts/  one message to many chats, as a person sees it
    embedding/   Tempogram in a program with a Dispatcher of its own, and ``tempogram.send`` and its like
    wiring/      puts the program together; the only folder that names concrete classes
    runtime/     starts the program, runs it and ends it
    terminal/    what a person sees who starts it on a terminal
    commands/    the command line
    demo/        ``tempogram demo``
"""
