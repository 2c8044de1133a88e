"""The command line. A command imports what it needs when it runs, so that ``--help`` is quick.

Read in this order:

    entry        says that a process starts, before anything is imported
    cli          every command
    roles        runs one role until it ends
    say          ``tempogram say``: speaks to a bot in the simulated Telegram
    queue        ``tempogram queue``: the queue and its dead letters, over the API
    explanation  why a message waits, in plain words
    broadcasts/  ``tempogram broadcast``: one message to many chats, over the API
    services/    ``tempogram services``: what is called besides Telegram, over the API
    audit        ``tempogram audit``: who changed what, over the API
    alerts       ``tempogram alerts``: what is wrong, and a test of the channels, over the API
    tasks        ``tempogram tasks``: what is done at its time, over the API
    task_tables  tasks and their runs as tables
    audience/    the chats of a bot, and what it writes to them of its own accord
    plan         ``tempogram plan``: what tasks, or watches, will call, against the budgets
    watch_plan   what each preset of watches costs and gives, as a table
    identity/    ``tempogram users`` and ``tempogram tokens``: who is let in, over the API
    bots         ``tempogram bots``: the secrets of webhooks, over the API
    keys         ``tempogram keys``: the encrypted tokens, in the database itself
    simulator    ``tempogram simulator``: the simulated Telegram, or a fake service, by itself
    load/        ``tempogram load``: many requests to one address, and whether limits held
    options      options that several commands have
    output       what several commands print and ask
    client       an HTTP client of the API
    env_file     ``make env``
    doctor/      ``tempogram doctor``: checks what a production start needs
"""
