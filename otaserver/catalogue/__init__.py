"""What there is: the release tree as it is on disk, and an immutable picture of it."""
