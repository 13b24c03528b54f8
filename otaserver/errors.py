"""The root of every error that this package raises on purpose."""


class OTAServerError(Exception):
    """Something that can be said in one sentence to whoever caused it."""
