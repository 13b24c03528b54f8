"""Which files of recovery have to be copied before an update may replace them.

ota_recovery says why. An update that replaces none needs no copies: then its own files stay
as they are for as long as there is a journal.
"""

from ota_files import SET, exists

SUFFIXES = (".py", ".mpy")
STARTER = "ota_recovery"
PREVIOUS = "ota_prev"


def copies(layout):
    """Return (path, path of its copy) for each file to copy before the journal is written.

    Args:
        layout: a Layout whose draft has been written.
    """
    found = {}
    with layout.drafted() as drafted:
        for path, _, _, _, _, _ in drafted:
            folder, name = _split(layout.absolute(path))
            stem = name[: name.rfind(".")]
            if stem in SET and exists(folder + name):
                _add_set(found, folder, layout.folder + "/")
            elif stem == STARTER and exists(folder + name):
                found[folder + PREVIOUS + name[len(stem) :]] = folder + name
    return [(found[copy], copy) for copy in found]


def _add_set(found, folder, target):
    for stem in SET:
        for suffix in SUFFIXES:
            if exists(folder + stem + suffix):
                found[target + stem + suffix] = folder + stem + suffix


def _split(path):
    at = path.rfind("/") + 1
    return path[:at], path[at:]
