"""Says what is wrong: once by each channel, and also that it is over; nothing is lost while a channel is away.

Read in this order:

    kinds           what there are alerts of
    durations       how long, and when, in words
    quiet_hours     when only what is urgent is said
    process_rules   what a process finds in itself
    rules           what one process looks for, for all
    streaks         what begins and ends after so many checks
    notices         what is said of alerts, and when
    channel         a way to an operator
    sender          brings notices to their channels
    memory_store    alerts of which no database knows
    sightings       what each process writes down for the one that looks for all
    trial           tries each channel
    database_watch  the database itself is away
    alerts          all of it
"""
