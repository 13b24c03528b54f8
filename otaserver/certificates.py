"""What is wrong with the keys and certificates that an endpoint names.

Twisted notices some of it only when the first client connects, and OpenSSL asks on the
terminal for the passphrase of an encrypted key. Only the functions need what the extra
``tls`` installs.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from otaserver.startup import quoted

# A file may have several, one after the other (RFC 7468, section 2).
_BLOCK = re.compile(rb"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----.*?-----END (?P=kind)-----", re.DOTALL)


def fault_of_files(key: str, certificate: str, others: dict[str, str]) -> str:
    """Look for a fault in the files of an ``ssl:`` endpoint.

    Args:
        key: the file of the private key.
        certificate: the file of its certificate, which may be the same.
        others: further files by parameter: ``extraCertChain``, ``dhParameters``.

    Returns:
        The fault, as what follows "names"; empty if there is none.
    """
    try:
        keys = _contents(Path(key)).keys
        certified = _contents(Path(certificate)).certified
        chain, parameters = others.get("extraCertChain"), others.get("dhParameters")
        if not keys:
            return f"the file {quoted(key)}, which has no private key in PEM format"
        if not certified or (chain and not _contents(Path(chain)).certified):
            return (
                f"the file {quoted(certificate if not certified else str(chain))}, "
                "which has no certificate in PEM format"
            )
        if not keys & certified:
            return "a private key and a certificate that do not belong together"
        if parameters and b"-----BEGIN DH PARAMETERS-----" not in _bytes(Path(parameters)):
            return f"the file {quoted(parameters)}, which has no DH parameters in PEM format"
    except _Unusable as error:
        return str(error)
    return ""


def fault_of_folder(folder: Path) -> str:
    """Look for a fault in the folder of a ``tls:`` endpoint.

    Args:
        folder: the folder, whose ``.pem`` files have keys and certificates.

    Returns:
        The fault, as what follows "names"; empty if there is none.
    """
    if not folder.is_dir():
        return f"a folder of certificates that is missing: {quoted(folder)}"
    found = _Contents(set(), set(), set())
    try:
        for path in folder.rglob("*.pem"):
            if path.is_file():
                for all_of_a_kind, new in zip(found, _contents(path), strict=True):
                    all_of_a_kind |= new
    except _Unusable as error:
        return str(error)
    # By this name Twisted chooses the certificate.
    if not found.named:
        return (
            f"the folder {quoted(folder)}, which has no .pem file with a "
            "certificate for a DNS name (subjectAltName)"
        )
    if not found.keys & found.named:
        return (
            f"the folder {quoted(folder)}, which has no .pem file with the "
            "private key of a certificate in it"
        )
    return ""


class _Unusable(Exception):
    """A file that can't be used, as what follows "names"."""


class _Contents(NamedTuple):
    """The public keys of the private keys, certificates, and certificates for DNS names."""

    keys: set[bytes]
    certified: set[bytes]
    named: set[bytes]


def _contents(path: Path) -> _Contents:
    from cryptography.exceptions import UnsupportedAlgorithm

    found = _Contents(set(), set(), set())
    for block in _BLOCK.finditer(_bytes(path)):
        try:
            if block["kind"].endswith(b"PRIVATE KEY"):
                found.keys.add(_public_half(block[0]))
            elif block["kind"].endswith(b"CERTIFICATE"):
                _note_certificate(found, block[0])
        except TypeError:
            raise _Unusable(
                f"the file {quoted(path)}, whose private key is encrypted: nobody is there to "
                f"give the passphrase; use what openssl pkey -in {path} prints"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            # It counts as missing, unless Twisted can say what is wrong with it.
            continue
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unusable(f"the file {quoted(path)}: {error.strerror}") from error


def _public_half(block: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _as_bytes(load_pem_private_key(block, None).public_key())


def _note_certificate(found: _Contents, block: bytes) -> None:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(block)
    key = _as_bytes(certificate.public_key())
    found.certified.add(key)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    if names.value.get_values_for_type(x509.DNSName):
        found.named.add(key)


def _as_bytes(public_key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
