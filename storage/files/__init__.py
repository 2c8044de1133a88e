"""Files that messages carry.

Read in this order:

    spool    a file that comes in, on disk
    uploads  a file that is kept until it is sent
    writes   the statements
"""
