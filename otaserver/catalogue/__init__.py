"""The catalogue: an immutable snapshot of the release tree, built by scanning the disk."""
