"""Runs the first stage of the Containerfile without a container: its COPY and RUN, in a folder.

    python3 -m tests.packaging.container_build FOLDER

Takes the files from the current folder. What would be /opt/otaserver is then in FOLDER.
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.packaging.files import container_instructions


def build(checkout: Path, folder: Path) -> None:
    source, target = folder / "src", folder / "opt" / "otaserver"
    source.mkdir(parents=True)
    for stage, name, argument in container_instructions():
        if stage == 1 and name == "COPY":
            copy(checkout, source, shlex.split(argument))
        elif stage == 1 and name == "RUN":
            command = argument.replace("/opt/otaserver", shlex.quote(str(target)))
            subprocess.run(["sh", "-c", command], cwd=source, check=True)


def copy(checkout: Path, source: Path, paths: list[str]) -> None:
    """Do as COPY does: of a folder, it copies what is in it."""
    *copied, to = paths
    for path in copied:
        if (checkout / path).is_dir():
            shutil.copytree(checkout / path, source / to)
        else:
            shutil.copy(checkout / path, source / to)


if __name__ == "__main__":
    build(Path.cwd(), Path(sys.argv[1]).absolute())
