"""What to do about a folder of the library that FAT has damaged."""

import os

from ota_errors import StorageError
from ota_files import FOLDER, REFUSED, VERSION_RECORD, copy_file, exists, file_sha256

BUFFER_BYTES = 512
EIO = 5


def move_aside(root):
    """Replace a library folder that FAT has damaged beyond repair by a new one.

    Args:
        root: path of the file system's root.

    Always raises StorageError.
    """
    folder = root + "/" + FOLDER
    number = 1
    while exists("{}.{}".format(folder, number)):
        number += 1
    aside = "{}.{}".format(folder, number)
    os.rename(folder, aside)
    os.mkdir(folder)
    # Without these, a release that was rolled back would be installed again.
    buf = bytearray(BUFFER_BYTES)
    for name in ("/outcome", "/" + REFUSED):
        sha256 = file_sha256(aside + name, buf)
        if sha256:
            copy_file(aside + name, folder + name, sha256, buf)
    raise StorageError("the folder {} was damaged and has been replaced".format(folder))


def give_up_journal(layout, error):
    """Go on without a journal that can't be read; the next update repairs the release.

    Args:
        layout: a Layout.
        error: the OSError of reading it.

    Always raises StorageError.
    """
    if error.args[0] != EIO:
        raise StorageError("the journal can't be read: {}".format(error))
    record = layout.absolute(VERSION_RECORD)
    from ota_ending import mark_incomplete  # a damaged journal is rare

    mark_incomplete(record, record if exists(record) else None)
    move_aside(layout.roots["flash"])
