"""A certificate for tests."""

import subprocess
from pathlib import Path


def self_signed(folder: Path, names: str = "subjectAltName=IP:127.0.0.1") -> Path:
    """Make a key and a certificate, by default for the loopback address, in one file."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
        f" -addext {names} -keyout key.pem -out certificate.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "server.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
