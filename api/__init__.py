"""The HTTP side: takes updates and messages in, and lets operators look and control.

Read in this order:

    core/           what the API depends on, and every error
    app             ``create_app(dependencies)`` puts it together
    monitoring_app  the health and the metrics alone, of a process that serves no API
    routes/         the endpoints, one noun a file
    usecases/       what the endpoints do
    schemas/        the bodies of requests and responses
    security/       bearer tokens, sessions and roles
    pages/          pages for browsers
    http/           forms, body limits and the access log
"""
