"""The HTTP side: updates come in, messages are submitted, and whoever has a token looks and steers.

Read in this order:

    services, ports, books        what it is given
    app                           how it is put together: ``create_app(services)``
    webhook                       where Telegram delivers; the hot path
    messages                      submit, look at and cancel one; ``submissions`` (which asks ``known_bots``),
                                  ``waiting`` and ``cancellations`` do the work
    forms, multipart              a message as a form with files
    queue, bots, limits           one noun each, and so ``metrics`` and ``health``; ``dead_letters`` does the
                                  queue's work
    schemas, fields, sentences    what requests and answers look like, and how a wrong one is told; ``quoting``
    auth, bounds, errors          who may, how much, and the one form in which anything is refused
    incidents, access_log         what is written down: never a token, never a text
"""
