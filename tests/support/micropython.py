"""A real MicroPython for the tests: the machine's own, or Debian trixie's in a private folder.

Nothing is installed on the machine. The packages come from wherever the
machine's own apt sources point, with the suite changed, and are unpacked into
the project's ``.cache/micropython``, where they run through their own loader.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.turns import in_turn

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache" / "micropython"
SUITE = "trixie"
PACKAGES = ["micropython", "libc6", "libffi8", "libmbedcrypto16", "libmbedtls21", "libmbedx509-7"]
MINIMUM_VERSION = (1, 25)
FETCH_TIMEOUT_S = 300


class MicroPythonUnavailable(Exception):
    """A real MicroPython can't be had here; the text says why."""


def micropython_command() -> list[str]:
    """Return the words that start MicroPython 1.25 or later, fetching it once if need be."""
    installed = shutil.which("micropython")
    if installed and _version(installed) >= MINIMUM_VERSION:
        return [installed]
    if not _unpacked().is_dir():
        with in_turn(CACHE / "lock"):
            if not _unpacked().is_dir():
                _fetch()
    command = _private_command()
    if _version(*command) < MINIMUM_VERSION:
        raise MicroPythonUnavailable(f"{command[-1]} does not run or is too old")
    return command


def _unpacked() -> Path:
    return CACHE / "root"


def _private_command() -> list[str]:
    loaders = sorted(_unpacked().glob("usr/lib/*/ld-linux-*.so.*"))
    if not loaders:
        raise MicroPythonUnavailable(f"no loader under {_unpacked()}")
    loader = loaders[0]
    binary = _unpacked() / "usr/bin/micropython"
    return [str(loader), "--library-path", str(loader.parent), str(binary)]


@functools.cache
def _version(*command: str) -> tuple[int, ...]:
    code = "import sys; print('%d.%d' % sys.implementation[1][:2])"
    try:
        done = subprocess.run([*command, "-c", code], capture_output=True, text=True, timeout=30)
        return tuple(int(part) for part in done.stdout.strip().split("."))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()


def _fetch() -> None:
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise MicroPythonUnavailable(f"no {tool} here to fetch it with")
    work = CACHE / f"fetch-{os.getpid()}"
    try:
        _download(work)
        root = work / "root"
        for package in work.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(root)], work)
        # Renamed only when whole: an interrupted fetch is never taken for a good one.
        root.rename(_unpacked())
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(work: Path) -> None:
    (work / "lists/partial").mkdir(parents=True)
    sources = work / "sources.list"
    sources.write_text(trixie_sources(*machine_sources()))
    private = [
        f"-oDir::Etc::SourceList={sources}",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={work / 'lists'}",
        f"-oDir::Cache::pkgcache={work / 'pkgcache.bin'}",
        f"-oDir::Cache::srcpkgcache={work / 'srcpkgcache.bin'}",
        # Snapshots of an archive are served with a date that has passed.
        "-oAcquire::Check-Valid-Until=false",
        "-oAPT::Sandbox::User=",
    ]
    _run(["apt-get", *private, "update"], work)
    _run(["apt-get", *private, "download", *PACKAGES], work)


def _run(command: list[str], work: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise MicroPythonUnavailable(f"{command[0]} took over {FETCH_TIMEOUT_S} s") from error
    if done.returncode:
        raise MicroPythonUnavailable(f"{command[0]} failed: {done.stderr.strip()[-300:]}")


def machine_sources() -> tuple[str, str]:
    """Return the address of the machine's own Debian archive and its apt options."""
    apt = Path("/etc/apt")
    texts = [path.read_text() for path in sorted(apt.glob("sources.list.d/*.sources"))]
    lines = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    texts += [path.read_text() for path in lines if path.is_file()]
    for text in texts:
        found = main_archive(text)
        if found:
            return found
    raise MicroPythonUnavailable("no Debian archive among this machine's apt sources")


def main_archive(text: str) -> tuple[str, str] | None:
    """Find the archive with Debian's ``main``, in one-line or in deb822 form."""
    return _from_lines(text) or _from_deb822(text)


def _from_lines(text: str) -> tuple[str, str] | None:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S+?/debian/?)\s+\w+\s.*\bmain\b", line)
        if match:
            return match[2], match[1] or ""
    return None


def _from_deb822(text: str) -> tuple[str, str] | None:
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = dict(re.findall(r"^([\w-]+):\s*(.*)$", "\n".join(lines), re.M))
        uri = fields.get("URIs", "").split(" ")[0]
        if re.search(r"/debian/?$", uri) and "main" in fields.get("Components", ""):
            key = fields.get("Signed-By", "")
            return uri, f"signed-by={key}" if key else ""
    return None


def trixie_sources(uri: str, options: str) -> str:
    """Return the one-line source entry for the suite that has MicroPython."""
    # Debian's archive key of bookworm signs trixie as well.
    return f"deb {f'[{options}] ' if options else ''}{uri} {SUITE} main\n"


if __name__ == "__main__":
    try:
        print(" ".join(micropython_command()))
    except MicroPythonUnavailable as error:
        sys.exit(f"no MicroPython: {error}")
