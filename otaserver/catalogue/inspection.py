"""Looking into what a scan has found: names, releases and firmware that can't be offered."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import BinaryIO

from otaserver.catalogue.firmware_image import image_breach
from otaserver.catalogue.model import File, Firmware, Folder, Release
from otaserver.catalogue.names import (
    firmware_version,
    intended_content,
    intended_firmware,
    intended_version,
    is_plain_version,
)
from otaserver.catalogue.problems import Problem, Weight
from otaserver.catalogue.release_rules import (
    BOOT_FILE,
    Breach,
    address_breach,
    breaches,
    path_breach,
    version_breach,
)
from otaserver.catalogue.release_tree import release_of
from otaserver.catalogue.stamps import FileChanged, open_stamped
from otaserver.catalogue.versions import rank_of_name

# As much of a boot.py is searched for the call that starts recovery.
_MAX_BOOT_BYTES = 1 << 16

# What a device starts at boot (MicroPython's boot sequence): no product has it beside releases.
_STARTED_FILES = ("boot.py", "main.py")

# So many of the files that have changed are named.
_MAX_NAMED = 5


def inspected_release(folder: Folder, roots: Collection[str], absolute_root: str) -> Release:
    """Build the release that a folder holds, with whatever keeps it from being offered.

    Args:
        folder: a folder whose name is a version.
        roots: the folders of a device that its files may be in.
        absolute_root: the release tree's folder on disk.

    Returns:
        The release.

    Raises:
        FileChanged: a file in it is no longer there.
    """
    release = release_of(folder)
    boot = release.files.get(BOOT_FILE)
    return replace(
        release,
        starts_recovery=boot is not None and _starts_recovery(boot, absolute_root),
        refused_paths=frozenset(
            path for path in release.files if path_breach(path, roots) is not None
        ),
        problems=tuple(_problem(folder.path, breach) for breach in breaches(release, roots)),
    )


def inspected_firmware(version: str, file: File, absolute_root: str) -> Firmware:
    """Describe a firmware image, with whatever keeps it from being offered.

    Args:
        version: the version in its name.
        file: the image.
        absolute_root: the release tree's folder on disk.

    Returns:
        The firmware.

    Raises:
        FileChanged: the image is no longer what it was.
    """
    with _opened(file, absolute_root) as image:
        found = (
            version_breach(version),
            address_breach("", file.path),
            image_breach(image, file.size_bytes),
        )
    problems = tuple(_problem(file.path, breach) for breach in found if breach is not None)
    return Firmware(version, rank_of_name(version), file, problems)


def misnamed_file(path: str, roots: Sequence[str]) -> Problem | None:
    """Find out whether a file beside releases was meant to be a release or firmware.

    Args:
        path: its path relative to the root.
        roots: the folders of a device that releases may have files in.

    Returns:
        What is wrong with its name or place; None if it looks like neither.
    """
    name = path.rpartition("/")[2]
    firmware, unpacked = intended_firmware(name), intended_content(name)
    if firmware is not None:
        what = "is not offered, because its name is not that of firmware"
        return _not_offered(path, what, f"rename it to {firmware}")
    if unpacked is not None:
        return _not_offered(path, "is an archive, and is not offered", f"unpack it, as {unpacked}")
    if is_plain_version(name):
        what = "has the name of a release, but is a file, and is not offered"
        return _not_offered(path, what, "delete it, or replace it by a folder")
    return _stray(path, f"{roots[0]}/{name}") if name in _STARTED_FILES else None


def misplaced_folder(path: str, content: Collection[str], roots: Sequence[str]) -> Problem | None:
    """Find out whether a folder without versions was meant to be a release, or a part of one.

    Args:
        path: its path relative to the root.
        content: the names of what is in it.
        roots: the folders of a device that releases may have files in.

    Returns:
        What is wrong with its name or place; None if it may be a product.
    """
    name = path.rpartition("/")[2]
    if firmware_version(name) is not None:
        what = "has the name of firmware, but is a folder, and is not offered"
        return _not_offered(path, what, "replace it by the file")
    better = intended_version(name) or "1.0.1"
    what = "has a {} like a release, but its name is no version, and is not offered"
    root = next((root for root in roots if root in content), None)
    if root is not None:
        remedy = f"rename it, to {better} for example, or move {root} into a release"
        return _not_offered(path, what.format(f"folder {root}"), remedy)
    if name in roots:
        return _stray(path, name)
    started = next((file for file in _STARTED_FILES if file in content), None)
    if started is None:
        return None
    remedy = f"move what is in it to {better}/{roots[0]} for example"
    return _not_offered(path, what.format(f"file {started}"), remedy)


def _stray(path: str, place: str) -> Problem:
    """Say that something that belongs on a device is in no release."""
    what = "is in no release, and is not offered"
    return _not_offered(path, what, f"move it into one, as 1.0.1/{place} for example")


def changed_offer(path: str, files: tuple[str, ...]) -> Problem:
    """Describe a release or firmware that is no longer what it was when it was first offered.

    Args:
        path: its path relative to the root.
        files: the files that have changed, by their path on the device; for firmware, its
            own name.

    Returns:
        What is wrong with it.
    """
    others = f" and {len(files) - _MAX_NAMED} more" if len(files) > _MAX_NAMED else ""
    is_file = files == (path.rpartition("/")[2],)
    where = "" if is_file else f", in {', '.join(files[:_MAX_NAMED])}{others}"
    return Problem(
        Weight.CHANGED,
        path,
        f"changed since it was first offered{where}",
        "restore it, and publish the change as a version of its own",
    )


def _starts_recovery(boot: File, absolute_root: str) -> bool:
    """Look into a boot.py in the way that the device library does."""
    with _opened(boot, absolute_root) as file:
        return b"ota_boot" in file.read(_MAX_BOOT_BYTES)


def _opened(file: File, absolute_root: str) -> BinaryIO:
    try:
        return open(open_stamped(f"{absolute_root}/{file.path}", file.stamp), "rb")
    except OSError as error:
        raise FileChanged from error


def _problem(path: str, breach: Breach) -> Problem:
    name = path.rpartition("/")[2]
    if not breach.path:
        return _not_offered(path, f"{breach.what}, and is not offered", breach.remedy)
    what = f"{breach.what}, so {name} is not offered"
    return _not_offered(f"{path}/{breach.path}", what, breach.remedy)


def _not_offered(path: str, what: str, remedy: str) -> Problem:
    return Problem(Weight.NOT_OFFERED, path, what, remedy)
