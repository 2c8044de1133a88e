"""The files of messages.

Read in this order:

    spool    an incoming file, on disk
    uploads  a file that is stored until it is sent
    writes   the statements that write them
"""
