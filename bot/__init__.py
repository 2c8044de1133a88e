"""Telegram's side, and where everything is put together. Runs ``api``, ``storage`` and ``engine``.

Read in this order:

    settings        every environment variable
    methods         which calls count, what they cost, whose budget they use
    composer        from a call to a message of the engine
    attachments     the files that a message carries, into the books; ``luggage`` and ``forms``: out again
    transport       one HTTP call to Telegram; ``classify`` says what its answer means
    session         under every ``Bot``: no call goes round the engine
    intake          updates in; ``notes`` feeds the books, ``behaviours/`` decide what to say
    generator/      who writes what a bot answers: templates, or a server
    roster          which bots run here; ``register`` keeps it and the books in step, ``changes`` whose turn that is
    fleet           how bots come, change and go: ``introductions`` asks Telegram who comes, ``departures`` sees off
                    who goes; ``feeds`` where their updates come from; ``follower`` what other processes change of them
    wiring          the one file that names concrete classes; ``running`` what runs then
    home            the directory of the keys
    __main__        the command line; its larger parts are in ``commands/``
    simulator/      a Telegram that enforces its limits, for tests and for a first look
"""
