"""Telegram's side, and where everything is put together. Runs ``api``, ``storage`` and ``engine``.

Read in this order:

    config/      settings, logging, the roles of a process, the directory of the keys
    telegram/    from a call to a message of the engine, and from a message to an HTTP call
    updates/     updates in: webhook, polling, the inbox, the handlers
    fleet/       the bots: how they come, change and go
    behaviours/  what decides what to say
    generator/   who writes what a bot answers: templates, or a language model
    wiring/      puts the program together; the one folder that names concrete classes
    runtime/     what runs then, and how it ends
    commands/    the command line
    demo/        ``tempogram demo``
"""
