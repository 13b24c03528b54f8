"""Folders beside ``flash`` and ``sd`` that releases have files for; loaded only if there are."""

# Of these the name of a root consists.
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def add_roots(board, roots):
    """Add roots to those of a board, or replace them.

    Args:
        board: a board, see ota_board.
        roots: where each root is on the device, such as ``{"app": "/app"}``.

    Returns a tuple with ``name=path`` for each, as the journal has them. Raises ValueError
    if one is unusable.
    """
    merged = dict(board.roots)
    fields = ()
    for name in sorted(roots):
        folder = roots[name]
        if not name or name.strip(PLAIN) or name.lower() == "flash":
            # The journal itself lies on flash, where a boot has to find it.
            raise ValueError("roots: {} can't be the name of a root".format(repr(name)))
        if not _is_path(folder):
            raise ValueError("roots: {} is no path such as /app".format(repr(folder)))
        for other in merged:
            if other != name and merged[other].lower() == folder.lower():
                raise ValueError("roots: {} is already the path of {}".format(folder, other))
        merged[name] = folder
        fields += ("{}={}".format(name, folder),)
    board.roots = merged
    return fields


def _is_path(folder):
    names = folder.split("/")
    if names[0] or len(names) < 2 or any(char < " " or char == "\x7f" for char in folder):
        return False
    return all(name.strip(".") for name in names[1:])
