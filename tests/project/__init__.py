"""What holds for the whole project rather than for one module of it.

Read in this order:

    test_distributions        wheel, sdist and editable install hold the same package
    test_beside_a_project     the installed wheel in a project with a ``bot/`` and an ``api/`` of its own
    test_clone_without_links  what a clone without symbolic links says
    test_docker_image         the Dockerfile's steps in an empty folder
    test_public_names         what ``import tempogram`` costs and offers
    test_one_import_name      no module is imported under a second name
    test_structure            reading orders, import cycles, sizes of folders, import contracts
    test_mirror               each test stands where its module's place says
    test_words                words that are gone, and the form of log events
    test_log_events           the table of log events
    test_project_files        README, Makefile, constraints and compose
    test_decisions            the decisions name files and names that exist
"""
