"""Whether boot.py starts recovery: without that, nothing would finish or undo an update."""


def starts_recovery(path):
    """Return whether a boot.py calls ota_boot, as far as its text says.

    Args:
        path: of the file.
    """
    with open(path, "rb") as source:
        line = source.readline()
        while line and b"ota_boot" not in line:
            line = source.readline()
    return bool(line)
