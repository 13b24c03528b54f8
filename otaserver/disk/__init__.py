"""Reading files of the release tree without the reactor's thread ever waiting for a disk."""
