"""Keys and certificates that can't be used: each is refused before a client connects."""

import subprocess
from pathlib import Path

import pytest

from tests.support.tls import self_signed
from tests.test_endpoints import said

pytestmark = pytest.mark.real

NO_CERTIFICATE = "which has no certificate in PEM format"


def test_files_that_do_not_hold_what_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    self_signed(tmp_path)
    (tmp_path / "bad.pem").write_text("nothing")
    assert said("ssl:0:privateKey=certificate.pem") == (
        "names the file 'certificate.pem', which has no private key in PEM format"
    )
    assert said("ssl:0:privateKey=key.pem") == f"names the file 'key.pem', {NO_CERTIFICATE}"
    files = "ssl:0:privateKey=key.pem:certKey=certificate.pem"
    assert said(f"{files}:extraCertChain=bad.pem") == (
        f"names the file 'bad.pem', {NO_CERTIFICATE}"
    )
    assert said(f"{files}:dhParameters=none") == (
        "names the file 'none': No such file or directory"
    )
    assert said(f"{files}:dhParameters=bad.pem") == (
        "names the file 'bad.pem', which has no DH parameters in PEM format"
    )
    assert said(f"{files}:sslmethod=NONE").startswith("can't be used for TLS: ")


def test_a_key_of_another_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long paths would be cut where the endpoint is quoted.
    monkeypatch.chdir(tmp_path)
    key, other = Path("one"), Path("other")
    for folder in (key, other):
        folder.mkdir()
        self_signed(folder, "subjectAltName=DNS:localhost").unlink()
    files = f"ssl:0:privateKey={key}/key.pem:certKey={other}/certificate.pem"
    assert said(files) == "names a private key and a certificate that do not belong together"
    (key / "key.pem").replace(other / "key.pem")
    for folder in (key, other):
        assert said(f"tls:{folder}:0") == (
            f"names the folder '{folder}', which has no .pem file with the private key of a "
            "certificate in it"
        )


@pytest.mark.parametrize("form", ["-aes256", "-aes256 -traditional"])
def test_an_encrypted_key_is_refused_before_openssl_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    self_signed(tmp_path, "subjectAltName=DNS:localhost").unlink()
    key = Path("key.pem")
    command = f"openssl rsa {form} -passout pass:secret -in key.pem -out encrypted"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    Path("encrypted").replace(key)
    why = (
        f"names the file '{key}', whose private key is encrypted: nobody is there to give "
        f"the passphrase; use what openssl pkey -in {key} prints"
    )
    assert said("tls:.:0") == why
    assert said(f"ssl:0:privateKey={key}:certKey=certificate.pem") == why


def test_what_openssl_says_is_readable(tmp_path: Path) -> None:
    self_signed(tmp_path, "subjectAltName=DNS:localhost")
    (tmp_path / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n")
    said_of_folder = said(f"tls:{tmp_path}:0")
    assert said_of_folder.startswith("names a folder with a .pem file that can't be read: ")
    assert "[" not in said_of_folder
