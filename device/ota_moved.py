"""Contents that an update moves: they are on the device, and need no download."""

from ota_files import NONE
from ota_wanted import is_copied, renames


def is_moved(layout, path, sha256, seen):
    """Return whether installing finds a content in a place that it leaves.

    Args:
        layout: a Layout whose draft has been written.
        path: where the content will be; only its own root counts.
        sha256: of the content.
        seen: what ota_wanted.wanted returns of the draft, for installing.
    """
    root = path.split("/", 1)[0]
    if (
        sha256 == NONE
        or is_copied(path)
        or not seen.again(sha256)
        or not renames(layout.roots, root)
    ):
        return False
    with layout.drafted() as drafted:
        for other, _, _, old_sha256, _, _ in drafted:
            if old_sha256 == sha256 and other.startswith(root + "/") and not is_copied(other):
                return True
    return False
