"""aiogram's FSM in the database: a deploy loses no half-filled form, and all processes agree. See decision 0020.

Read in this order:

    dispatcher  a Dispatcher with this storage
    middleware  reads the state of an update, if anything asks for it
    storage     aiogram's ``BaseStorage`` over the repository
    recent      what an update has read, so that it is read once
"""
