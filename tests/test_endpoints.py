"""Endpoints: what is said about wrong ones, and whether right ones can be used."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.endpoints import _words, checked_endpoint, listen, try_to_listen
from otaserver.startup import CannotStart
from tests.support.process import LOOPBACK, PROJECT, running_server
from tests.support.tls import self_signed


def said(text: str) -> str:
    """What is said about an endpoint, after the option and the endpoint itself."""
    with pytest.raises(CannotStart) as caught:
        checked_endpoint("--http", text)
        listen("--http", text, None)
    whole = str(caught.value)
    assert "\n" not in whole
    return whole.removeprefix(f"--http '{text}' ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp", "lacks its port"),
        ("tcp:", "lacks its port"),
        ("unix:", "lacks its address"),
        ("systemd", "lacks its domain"),
        ("tcp:x", "has the port 'x', which is not a number from 0 to 65535"),
        ("tcp:99999", "has the port '99999', which is not a number from 0 to 65535"),
        ("tcp6:-1", "has the port '-1', which is not a number from 0 to 65535"),
        ("tcp:" + "9" * 5000, None),
        ("tcp:1.5", "has the port '1.5', which is not a number from 0 to 65535"),
        ("ssl:x", "has the port 'x', which is not a number from 0 to 65535"),
        ("haproxy:tcp:x", "has the port 'x', which is not a number from 0 to 65535"),
        ("tcp:port=x", "has the port 'x', which is not a number from 0 to 65535"),
        ("tcp:0000099999", "has the port '0000099999', which is not a number from 0 to 65535"),
        ("tcp:0:backlog=x", "has the backlog 'x', which is not a number below 1000000000"),
        ("tcp:0:backlog=9999999999", None),
        ("unix:s:mode=999", "has the mode '999', which is not an octal mode such as 660"),
        ("unix:s:lockfile=x", "has the lockfile 'x', which is not 0 or 1"),
        (
            "systemd:INET:index=x",
            "has the index 'x', which is not the number of a socket, counted from 0",
        ),
        ("tcp:0:if=x", "has 'if', but tcp takes only port, interface, backlog"),
        ("tcp:0\\", "ends with a backslash"),
        ("systemd:INET:index=0", "names a socket that systemd has not passed to this process"),
        ("systemd:INET:name=x", "names a socket that systemd has not passed to this process"),
    ],
)
def test_what_is_wrong_with_an_endpoint(text: str, why: str | None) -> None:
    assert said(text) == why if why else len(said(text)) < 1000


@pytest.mark.parametrize(
    "text",
    ["tcp:0:::1", "tcp6:0:interface=::1", "tcp6:0:::", "tls:x:8443:interface=::", "tcp:1:2:3:4"],
)
def test_a_colon_that_was_not_escaped(text: str) -> None:
    assert said(text) == r"has too many parts: write a colon that belongs to a value as \:"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("8000", "tcp:8000"),
        (":8000", "tcp:8000"),
        ("0.0.0.0:8000", "tcp:8000:interface=0.0.0.0"),
        ("localhost:80", "tcp:80:interface=localhost"),
        ("http://192.0.2.1:8000/", "tcp:8000:interface=192.0.2.1"),
        ("[::]:80", r"tcp6:80:interface=\:\:"),
        ("http://[fd00::1]:8000/", r"tcp6:8000:interface=fd00\:\:1"),
    ],
)
def test_what_other_servers_take_is_answered_with_the_right_form(text: str, right: str) -> None:
    assert said(text) == f"is not an endpoint: write {right}"
    assert checked_endpoint("--http", right) is not None


@pytest.mark.parametrize("text", ["nonsense", "foo:1", ":", "TCP:80", "http://example.com"])
def test_another_type_is_answered_with_an_example(text: str) -> None:
    assert said(text).startswith("is not an endpoint such as tcp:8000: ")


@given(st.text(alphabet="ab\\:=", max_size=12))
def test_descriptions_are_split_as_twisted_splits_them(text: str) -> None:
    from twisted.internet.endpoints import _parse

    try:
        by_place, by_name = _parse(text)
    except RuntimeError:
        assert said(f"tcp:{text}") == "ends with a backslash"
        return
    words = _words(text)
    assert [value for name, value in words if name is None] == by_place
    assert {name: value for name, value in words if name is not None} == by_name


def test_parameters_are_found_by_place_and_by_name() -> None:
    endpoint = checked_endpoint("--http", r"haproxy:tcp6:interface=\:\:1:80")
    assert endpoint == ("tcp6", {"interface": "::1", "port": "80"})


class TestTLS:
    @pytest.mark.parametrize(
        "text", ["tls:18020", "tls:18020:interface=127.0.0.1", "haproxy:tls:18020"]
    )
    def test_a_port_in_the_place_of_the_folder(self, text: str) -> None:
        assert said(text) == (
            "means a folder of certificates called 18020, and port 443: write tls:FOLDER:18020"
        )

    def test_a_folder_that_is_missing(self) -> None:
        assert said("tls:/none:0") == "names a folder of certificates that is missing: '/none'"

    def test_a_folder_without_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.pem").write_text("not a certificate")
        assert "has no .pem file with a certificate for a DNS name" in said(f"tls:{tmp_path}:0")

    def test_files_that_are_missing_or_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bad.pem").write_text("not a key")
        assert said("ssl:0") == "names the file 'server.pem': No such file or directory"
        assert said("ssl:0:privateKey=bad.pem") == (
            "names the file 'bad.pem', which has no private key in PEM format"
        )
        assert said("ssl:0:privateKey=bad.pem:certKey=no.pem") == (
            "names the file 'no.pem': No such file or directory"
        )

    @pytest.mark.parametrize("missing", ["OpenSSL", "service_identity"])
    @pytest.mark.parametrize("text", ["tls:folder:8443", "ssl:8443", "haproxy:ssl:8443"])
    def test_without_its_packages(
        self, monkeypatch: pytest.MonkeyPatch, missing: str, text: str
    ) -> None:
        monkeypatch.setattr(
            "otaserver.endpoints.find_spec", lambda name: None if name == missing else object()
        )
        assert said(text) == "needs packages for TLS: pip install 'otaserver[tls]'"

    @pytest.mark.real
    def test_a_folder_of_certificates_is_served(self, small_tree: Path, tmp_path: Path) -> None:
        certificates = tmp_path / "certificates"
        certificates.mkdir()
        self_signed(certificates, "subjectAltName=DNS:localhost,IP:127.0.0.1")
        (certificates / "server.pem").unlink()
        endpoint = f"tls:{certificates}:0:interface={LOOPBACK}"
        with running_server(small_tree, tmp_path / "state", "--http", endpoint) as server:
            trust = ["--cacert", str(certificates / "certificate.pem")]
            for host in ("localhost", LOOPBACK):
                url = f"https://{host}:{server.http_port}/manifest.json"
                curl = subprocess.run(
                    ["curl", "-sS", "-4", *trust, url], capture_output=True, text=True
                )
                assert '"version": "1.0.1"' in curl.stdout, curl.stderr


@pytest.mark.real
class TestTrying:
    def test_two_endpoints_with_one_port(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as free:
            port = free.getsockname()[1]
        text = f"tcp:{port}:interface={LOOPBACK}"
        try_to_listen({"--http": text, "--ftp": ""})
        with pytest.raises(CannotStart, match=rf"at --ftp '{text}': Address already in use"):
            try_to_listen({"--http": text, "--ftp": text})
        # Nothing is left of the trial.
        try_to_listen({"--http": "", "--ftp": text})

    @pytest.mark.parametrize("text", [r"tcp6:0:interface=\:\:1", r"tcp6:0"])
    def test_ipv6(self, text: str) -> None:
        if not socket.has_ipv6:
            pytest.skip("there is no IPv6 here")
        try_to_listen({"--http": text})

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("tcp:0:interface=no such", "Name or service not known"),
            ("tcp:0:interface=192.0.2.1", "Cannot assign requested address"),
            ("unix:/none/socket", "No such file or directory"),
            (f"unix:/tmp/{'a' * 103}", "File name too long"),
        ],
    )
    def test_what_can_not_be_opened(self, text: str, why: str) -> None:
        with pytest.raises(CannotStart) as caught:
            try_to_listen({"--http": text})
        assert str(caught.value) == (
            f"can't listen at --http '{text}': {why}; choose another with --http"
        )

    def test_unix_sockets(self, small_tree: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotStart, match="Address already in use"):
            try_to_listen({"--http": f"unix:{tmp_path / 'file'}"})
        text = f"unix:{tmp_path / 'socket'}"
        try_to_listen({"--http": text})
        assert sorted(os.listdir(tmp_path)) == ["file", "tree"]
        with running_server(small_tree, tmp_path / "state", "--http", text):
            with pytest.raises(CannotStart, match="Address already in use"):
                try_to_listen({"--http": text})
            # It is still the running server's.
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "socket"))

    def test_a_unix_socket_that_a_killed_server_left(
        self, small_tree: Path, tmp_path: Path
    ) -> None:
        options = ("--http", f"unix:{tmp_path / 'socket'}")
        with running_server(small_tree, tmp_path / "state", *options) as server:
            server.process.kill()
            server.process.wait()
            assert (tmp_path / "socket").is_socket()
            with running_server(small_tree, tmp_path / "state", *options):
                pass
        assert not (tmp_path / "socket").exists()


@pytest.mark.real
def test_the_sentence_about_packages_is_said_where_they_are_missing(tmp_path: Path) -> None:
    """Not even importing the module needs them."""
    code = (
        "import sys; sys.modules['OpenSSL'] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'OpenSSL' else find(name)\n"
        "from otaserver.endpoints import _words, checked_endpoint\n"
        "checked_endpoint('--http', 'tls:folder:8443')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )
    assert run.stderr == (
        "otaserver: --http 'tls:folder:8443' needs packages for TLS: "
        "pip install 'otaserver[tls]'\n"
    )
