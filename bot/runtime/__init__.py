"""What runs while the program runs.

Read in this order:

    main                ``tempogram run | api | worker | scheduler``
    start_wait          waits for a database that is away at the start
    lifecycle           starts the background tasks, and ends them in order
    loops               the background tasks, and whether all of them still run
    loop_beats          reports which of them run, once a minute
    http_server         the HTTP server of the API
    descriptors         how many connections of clients the process may have
    client_connections  which of them is closed for a newcomer
    http_protocol       bounds the head of a request, in bytes, lines and time, and the time for an answer
    gc_tuning           when Python's garbage collector runs
    memory_trim         gives freed memory back to the system
"""
