"""Tempogram in a program that has an aiogram Dispatcher of its own, and what a program calls.

Read in this order:

    tempogram           ``Tempogram``, the one line
    engine_task         the engine, in a task of its own: its start and its end
    feeding             what the program's Dispatchers are fed: calls for an update, and methods that handlers return
    usernames           the name of each bot, as far as it is known without asking
    second_signal       a second Ctrl-C, which ends the end
    current             the engine that runs in this program
    functions           ``tempogram.send`` and its like
    service_calls       ``tempogram.services``
    rate_checks         ``tempogram.check_rate_limit``
    broadcasts          ``tempogram.broadcast``
    sweeps              ``tempogram.sweep``
    bulk                ``tempogram.map_limited``
    selection           ``tempogram.select``
    aiohttp_middleware  the same for every request of an aiohttp session
"""
