"""One database, SQLite or PostgreSQL.

Read in this order:

    models         the tables
    database       how it is opened, written and read
    group_commit   many callers, one transaction
    writers        the one connection that writes
    bulk           a statement for many rows
    upsert         a row that may be there already
    clock          the database's own time
    driver_errors  how the drivers' errors become ours
"""
