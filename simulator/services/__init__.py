"""A strict stand-in for any other service over HTTP, for tests and benchmarks: it counts by itself.

Read in this order:

    counts        what is counted, and what breaks a limit
    words         what is said of a limit, in the forms that services use
    service       judges, holds and answers a call
    server        the service over HTTP, and its own ``/-/`` API
    process       it as a program
    fake_service  its client for tests, and the service in a thread of the test's process
"""
