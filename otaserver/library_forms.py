"""The device library as it is served: as source, and compiled for those who can load that.

How it works. The library is read once, and compiled once for each version of .mpy files
that somebody asks for and ``mpy-cross`` makes, by a worker thread, one after the other: a
compiler that hangs must not take all threads from everybody else. The outcome is kept until
the server ends, so that a description of a package and the files that it names fit
together, also if the library on disk is replaced meanwhile.

What a stranger can make grow is bounded: there are as many forms as versions in
`otaserver.mip.compiler.OLDER_VERSIONS`, and two more. A compiler that fails is not tried
again. Where a form can't be had, there is source, which every device can use.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from otaserver.mip.compiler import OLDER_VERSIONS, CannotCompile, compile_modules
from otaserver.mip.library import needed_at_boot, read_library
from otaserver.once import Once
from otaserver.worker import Worker


@dataclass(frozen=True, slots=True)
class LibraryForm:
    """The library in one form.

    Attributes:
        hashes: the SHA-256 of each file, in hexadecimal, by the file's name, sorted.
        contents: the content of each file by its SHA-256.
        mpy_version: the version of its .mpy files; None if it has none.
    """

    hashes: Mapping[str, str]
    contents: Mapping[str, bytes]
    mpy_version: int | None


class LibraryForms:
    """Reads and compiles the device library.

    Args:
        worker: does both.
        folder: the folder with the library.
        compiler: the path of ``mpy-cross``; None if there is none.
    """

    log = Logger()

    def __init__(self, worker: Worker, folder: Path, compiler: str | None) -> None:
        self._worker = worker
        self._compiler = compiler
        self._turns = DeferredLock()
        self._modules = Once(lambda: worker.run(read_library, folder))
        self._source = Once(lambda: self._modules.get().addCallback(form_of))
        # The version that the compiler makes by itself, and those that it has to be told.
        self._own = self._compiled(None)
        self._older = {version: self._compiled(version) for version in OLDER_VERSIONS}
        self._contents: dict[str, bytes] = {}

    async def get(self, mpy_version: int | None) -> LibraryForm:
        """Get the library for a device.

        Args:
            mpy_version: the version of .mpy files that it loads; None if it is to get source.

        Returns:
            The library in that form if possible, or else as source.

        Raises:
            OSError: the library can't be read.
        """
        form = await self._form(mpy_version)
        self._contents.update(form.contents)
        return form

    async def find(self, sha256: str) -> bytes | None:
        """Find a file by its content.

        Args:
            sha256: the SHA-256 of the content, in hexadecimal.

        Returns:
            The content; None if the library has no such file.

        Raises:
            OSError: the library can't be read.
        """
        if sha256 not in self._contents:
            # Who was told of the file before the server was started anew is still served.
            self._contents.update((await self._source.get()).contents)
            if self._compiler is not None:
                self._contents.update((await self._own.get()).contents)
        return self._contents.get(sha256)

    async def _form(self, mpy_version: int | None) -> LibraryForm:
        source = await self._source.get()
        if mpy_version is None or self._compiler is None:
            return source
        own = await self._own.get()
        if own.mpy_version in (mpy_version, None):
            return own
        return await self._older[mpy_version].get() if mpy_version in self._older else source

    def _compiled(self, mpy_version: int | None) -> Once[LibraryForm]:
        return Once(lambda: Deferred.fromCoroutine(self._compile(mpy_version)))

    async def _compile(self, mpy_version: int | None) -> LibraryForm:
        assert self._compiler is not None
        modules = await self._modules.get()
        try:
            return await self._turns.run(
                self._worker.run, compiled_form, self._compiler, modules, mpy_version
            )
        except CannotCompile as error:
            wanted = "" if mpy_version is None else f" to who loads version {mpy_version} of them"
            self.log.warn(
                "There are no .mpy files of the device library{wanted}, only its source: {error}.",
                wanted=wanted,
                error=error,
            )
            return await self._source.get()


def form_of(files: Mapping[str, bytes], mpy_version: int | None = None) -> LibraryForm:
    """Describe the library in one form.

    Args:
        files: the content of each file by its name.
        mpy_version: the version of the .mpy files among them; None if there are none.

    Returns:
        The form.
    """
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    contents = {sha256: files[name] for name, sha256 in hashes.items()}
    return LibraryForm(hashes, contents, mpy_version)


def compiled_form(
    compiler: str, modules: Mapping[str, bytes], mpy_version: int | None
) -> LibraryForm:
    """Compile all of the library but what runs at boot; this blocks.

    Args:
        compiler: the path of ``mpy-cross``.
        modules: the text of each module by its file's name.
        mpy_version: see `otaserver.mip.compiler.compile_modules`.

    Returns:
        The form.

    Raises:
        CannotCompile: see there.
    """
    at_boot = needed_at_boot(modules)
    rest = {name: text for name, text in modules.items() if name not in at_boot}
    compiled = compile_modules(compiler, rest, mpy_version)
    files = {name: modules[name] for name in at_boot} | dict(compiled.files)
    return form_of(files, compiled.mpy_version)
