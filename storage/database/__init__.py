"""One database, SQLite or PostgreSQL.

Read in this order:

    models         the tables
    engines        opens the connections
    database       reads and writes through them
    group_commit   many callers, one transaction
    writers        the one connection that writes
    bulk           a statement for many rows
    json_rows      rows that a statement reads as a table
    wal            how much of an SQLite WAL is intact
    dialects       what SQLite and PostgreSQL spell differently
    driver_errors  turns the drivers' errors into ours
"""
