"""The HTTP side: updates come in, messages are submitted, and operators look and steer.

Read in this order:

    core/      what the API is given, and how anything is refused
    app        how it is put together: ``create_app(services)``
    routes/    the endpoints, one noun a file
    usecases/  what the endpoints do
    schemas/   what requests and answers look like
    security/  who may do what
    http/      forms, bounds and the access log
"""
