"""The difference between two releases, file by file."""

from dataclasses import dataclass

from otaserver.catalogue.model import File, Release


@dataclass(frozen=True, slots=True)
class FileToInstall:
    """A file to put on the device.

    Attributes:
        dst_path: where it goes, such as ``flash/lib/sensor.py``.
        file: the file in the catalogue to put there.
    """

    dst_path: str
    file: File


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one release into another.

    Attributes:
        delete: the paths on the device that only the old release has, without those that
            no device would touch.
        new, update: the files that the old release does not have, and those that
            it has with different content, in order of path.
    """

    delete: tuple[str, ...] = ()
    new: tuple[FileToInstall, ...] = ()
    update: tuple[FileToInstall, ...] = ()


def difference(old: Release | None, new: Release, is_repair: bool = False) -> Difference:
    """Compare two releases.

    Args:
        old: the release that the device has; None if that is unknown, and then
            every file is new and none is deleted.
        new: the release that it shall have.
        is_repair: whether any file may differ from what the old release has now, so that
            all of the new one are listed; the device skips those that it has.

    Returns:
        What to delete and what to install.
    """
    old_files = old.files if old is not None else {}
    refused_paths = old.refused_paths if old is not None else frozenset()
    added = []
    changed = []
    for path, file in new.files.items():
        if path not in old_files:
            added.append(FileToInstall(path, file))
        elif is_repair or old_files[path].sha256 != file.sha256:
            changed.append(FileToInstall(path, file))
    gone = (path for path in old_files if path not in new.files)
    delete = tuple(path for path in gone if path not in refused_paths)
    return Difference(delete, tuple(added), tuple(changed))
