"""Walking a release tree on disk, before any file in it is read.

This module decides what can be part of a tree at all: regular files and folders with
names in UTF-8, and symbolic links that stay inside the tree.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from otaserver.catalogue.file_systems import FileSystems
from otaserver.catalogue.names import firmware_version, is_part, is_unfinished
from otaserver.catalogue.problems import Problem, Weight
from otaserver.catalogue.stamps import FileChanged, FileRemoved, Stamp, stamp_of
from otaserver.catalogue.versions import is_version_name

MAX_DEPTH = 64

# Folders that link to each other could make a walk arbitrarily long.
MAX_LINKED_FOLDERS = 1000

Ancestors = frozenset[tuple[int, int]]


@dataclass(slots=True)
class WalkedFolder:
    """A folder as it is on disk.

    Attributes:
        path: its path relative to the root, without a leading ``/``.
        mtime_ns: when something was last added, removed or renamed in it, in
            nanoseconds since 1970.
        ctime_ns: when its contents or metadata last changed, in nanoseconds since 1970.
        files: the stamps of its files by name, sorted.
        folder_names: the names of its subfolders, sorted.
        folders: the subfolders that the walk has entered, by name.
        is_complete: whether all of it could be read.
        unfinished: the paths of files in it whose upload has not come to its end.
        has_lost_something: whether something disappeared during the walk.
        ancestors: the device and inode of this folder and of every folder above it.
        device: the number of the device that it is on.
    """

    path: str
    mtime_ns: int
    ctime_ns: int
    files: dict[str, Stamp] = field(default_factory=dict)
    folder_names: list[str] = field(default_factory=list)
    folders: dict[str, "WalkedFolder"] = field(default_factory=dict)
    is_complete: bool = True
    unfinished: list[str] = field(default_factory=list)
    has_lost_something: bool = False
    ancestors: Ancestors = frozenset()
    device: int = 0

    def is_empty(self) -> bool:
        """Tell whether nothing is in the folder itself.

        Returns:
            Whether it has neither files nor subfolders.
        """
        return not (self.files or self.folder_names or self.unfinished)

    def all_folders(self) -> Iterator["WalkedFolder"]:
        """Iterate over this folder and its subfolders, at any depth.

        Yields:
            Each folder, before its subfolders.
        """
        yield self
        for folder in self.folders.values():
            yield from folder.all_folders()

    def changed_ns(self) -> int:
        """Compute when anything in the folder last changed.

        Returns:
            The latest change time at any depth, in nanoseconds since 1970.
        """
        return max(
            max([walked.ctime_ns, *(stamp.ctime_ns for stamp in walked.files.values())])
            for walked in self.all_folders()
        )

    def fingerprint(self) -> int:
        """Compute a number from what is in the folder, at any depth.

        Returns:
            A number that differs if a name, a size or a time does. Inode numbers don't
            count: on some file systems, they change by themselves.
        """
        return hash(
            tuple(
                (
                    walked.path,
                    walked.mtime_ns,
                    walked.ctime_ns,
                    *walked.files,
                    *map(fingerprint_of, walked.files.values()),
                )
                for walked in self.all_folders()
            )
        )


class TreeWalker:
    """Walks the folders of one release tree.

    Args:
        root: the release tree's folder.
        check: called for each folder; it may raise to cancel the walk.
        file_systems: what is mounted; None to ask the kernel.

    Attributes:
        problems: what is wrong with the tree.
        file_systems: what is mounted.
    """

    def __init__(
        self,
        root: str,
        check: Callable[[], None] = lambda: None,
        file_systems: FileSystems | None = None,
    ) -> None:
        self._root = os.path.realpath(root)
        self._check = check
        self.file_systems = file_systems or FileSystems()
        self._linked_folders = 0
        self.problems: list[Problem] = []

    def absolute(self, path: str) -> str:
        """Convert a path relative to the root into an absolute path.

        Args:
            path: the path relative to the root, without a leading ``/``.

        Returns:
            The absolute path; symbolic links in the root's own path are resolved.
        """
        return f"{self._root}/{path}" if path else self._root

    def walk_one(self, path: str, ancestors: Ancestors = frozenset()) -> WalkedFolder:
        """Read one folder, but not its subfolders.

        Args:
            path: its path relative to the root.
            ancestors: the device and inode of every folder above it.

        Returns:
            The folder.

        Raises:
            OSError: the folder can't be read.
        """
        self._check()
        status = os.stat(self.absolute(path))
        identity = (status.st_dev, status.st_ino)
        walked = WalkedFolder(
            path,
            status.st_mtime_ns,
            status.st_ctime_ns,
            ancestors=ancestors | {identity},
            device=status.st_dev,
        )
        if identity in ancestors:
            self._leave_out(path, "leads back to a folder that contains it", "remove the link")
            return walked
        if len(ancestors) >= MAX_DEPTH:
            self._leave_out(path, f"is more than {MAX_DEPTH} folders deep", "move it up")
            walked.is_complete = False
            return walked
        with os.scandir(self.absolute(path)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_unfinished(entry.name):
                    walked.unfinished.append(joined(path, entry.name))
                elif is_part(entry.name):
                    self._add(walked, entry)
        return walked

    def walk_whole(self, path: str, ancestors: Ancestors) -> WalkedFolder:
        """Read a folder and everything below it.

        Args:
            path: its path relative to the root.
            ancestors: the device and inode of every folder above it.

        Returns:
            The folder; marked as incomplete if anything in it can't be read.

        Raises:
            FileChanged: something in it disappeared during the walk.
        """
        try:
            walked = self.walk_one(path, ancestors)
        except FileNotFoundError as error:
            raise FileRemoved from error
        except OSError as error:
            self.add_problem(path, f"can't be read: {error.strerror}", "let the server read it")
            return WalkedFolder(path, 0, 0, is_complete=False)
        if walked.has_lost_something:
            raise FileChanged
        for name in walked.folder_names:
            folder = self.walk_whole(f"{path}/{name}", walked.ancestors)
            walked.folders[name] = folder
            walked.is_complete &= folder.is_complete
        return walked

    def _add(self, walked: WalkedFolder, entry: os.DirEntry[str]) -> None:
        path = joined(walked.path, entry.name)
        if not _is_utf8(path):
            shown = os.fsencode(path).decode(errors="backslashreplace")
            self._leave_out(shown, "is not named in UTF-8", "rename it")
            walked.is_complete = False
            return
        if entry.is_symlink() and not self._stays_inside(path):
            self._leave_out(
                path, "is a link to something that is not served", "copy what it leads to"
            )
            return
        try:
            status = entry.stat()
        except FileNotFoundError:
            if entry.is_symlink():
                # Its target may come back; until then, devices must not delete the file.
                self._leave_out(path, "is a link to something that is not there", "restore it")
                walked.is_complete = False
            else:
                walked.has_lost_something = True
            return
        except OSError as error:
            remedy = "remove the link" if error.errno == errno.ELOOP else "let the server read it"
            self._leave_out(path, f"can't be read: {error.strerror}", remedy)
            walked.is_complete = False
            return
        if stat.S_ISDIR(status.st_mode):
            if entry.is_symlink() and self._is_one_link_too_many(path):
                walked.is_complete = False
                return
            walked.folder_names.append(entry.name)
        elif stat.S_ISREG(status.st_mode):
            keeps_inodes = self.file_systems.keeps_inodes(status.st_dev)
            walked.files[entry.name] = stamp_of(status, keeps_inodes)
        else:
            self._leave_out(path, "is neither a file nor a folder", "remove it")

    def _stays_inside(self, path: str) -> bool:
        """Return whether a link leads to a place that is itself part of the tree."""
        target = os.path.realpath(self.absolute(path))
        if not target.startswith(self._root + "/"):
            return False
        names = target[len(self._root) + 1 :].split("/")
        return all(is_part(name) and not is_unfinished(name) for name in names)

    def _is_one_link_too_many(self, path: str) -> bool:
        self._linked_folders += 1
        if self._linked_folders == MAX_LINKED_FOLDERS + 1:
            self._leave_out(
                path,
                f"exceeds the limit of {MAX_LINKED_FOLDERS} links to folders",
                "copy some of the folders",
            )
        return self._linked_folders > MAX_LINKED_FOLDERS

    def add_problem(
        self, path: str, what: str, remedy: str, weight: Weight = Weight.NOT_OFFERED
    ) -> None:
        """Report a problem.

        Args:
            path: see `Problem`.
            what: likewise.
            remedy: likewise.
            weight: likewise.
        """
        self.problems.append(Problem(weight, path, what, remedy))

    def _leave_out(self, path: str, why: str, remedy: str) -> None:
        self.add_problem(path, f"{why}, and is left out", remedy, weight_of_loss(path))


def weight_of_loss(path: str) -> Weight:
    """Weigh that something is left out.

    Args:
        path: its path relative to the root.

    Returns:
        The weight: more for a release, or firmware beside releases, than for a part of one.
    """
    *folders, name = path.split("/")
    is_offer = is_version_name(name) or firmware_version(name) is not None
    if is_offer and not any(map(is_version_name, folders)):
        return Weight.NOT_OFFERED
    return Weight.LEFT_OUT


def fingerprint_of(stamp: Stamp) -> int:
    """Compute a number from a file's size and times.

    Args:
        stamp: the file's stamp.

    Returns:
        A number that differs if one of these does.
    """
    return hash((stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns))


def joined(folder: str, name: str) -> str:
    """Join a path and a name.

    Args:
        folder: a path relative to the root; empty for the root itself.
        name: the name of something in that folder.

    Returns:
        The path of that.
    """
    return f"{folder}/{name}" if folder else name


def _is_utf8(name: str) -> bool:
    # Python represents bytes that aren't UTF-8 as lone surrogates.
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
