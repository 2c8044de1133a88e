"""The work in ``engine/``: delivery, dispatcher, worker, recoverer, expiry, start. With fakes of ``desk``."""
