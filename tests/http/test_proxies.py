"""Behind nginx and Caddy, each with the configuration that docs/proxy.md gives."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http import Response, parse_responses
from tests.support.ports import free_ports
from tests.support.process import LOOPBACK, PROJECT, running_server
from tests.support.tls import self_signed
from tests.support.trees import SMALL_TREE, write_tree

pytestmark = pytest.mark.real

PUBLIC_URL = "https://ota.example.com/ota"


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        port: where it listens on the loopback address.
        certificate: what it shows, signed by itself; None without TLS.
    """

    port: int
    certificate: Path | None = None

    def ask(self, path: str, host: str) -> Response:
        """Ask one thing over plain TCP."""
        with socket.create_connection((LOOPBACK, self.port), timeout=20) as client:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            client.sendall(request.encode())
            data = b"".join(iter(lambda: client.recv(1 << 16), b""))
        return parse_responses(data)[0]

    def curl(self, path: str, *arguments: str) -> bytes:
        """Fetch a path of the public name through the proxy, over TLS."""
        command = ["curl", "-sS", "--fail", "--max-time", "20", "--noproxy", "*"]
        command += ["--cacert", str(self.certificate)]
        command += ["--resolve", f"ota.example.com:{self.port}:{LOOPBACK}", *arguments]
        url = f"https://ota.example.com:{self.port}{path}"
        return subprocess.run([*command, url], check=True, capture_output=True).stdout


def documented(language: str) -> str:
    """The configuration that the documentation gives."""
    text = (PROJECT / "docs" / "proxy.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """Run a proxy until the block ends."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port)):
                    break
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def nginx(folder: Path, site: str, port: int) -> Iterator[None]:
    """Run Debian's nginx with one site, and everything it writes in a folder."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("there is no nginx here")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Otherwise root's nginx would give up its rights, and with them the cache's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{site}\n}}\n"
    )
    with started([program, "-e", f"{folder}/errors", "-c", str(config)], port):
        yield


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", SMALL_TREE)


@contextlib.contextmanager
def behind_nginx(tree: Path, folder: Path) -> Iterator[Proxy]:
    """A server behind nginx, set up as the documentation says."""
    (port,) = free_ports(1)
    certificate = self_signed(folder, "subjectAltName=DNS:ota.example.com")
    with running_server(tree, folder / "state", "--public-url", PUBLIC_URL) as server:
        site = replaced(
            documented("nginx"),
            {
                "/var/cache/nginx/ota": f"{folder}/cache",
                "listen 443": f"listen {LOOPBACK}:{port}",
                "/etc/ssl/ota/certificate.pem": str(certificate),
                "/etc/ssl/ota/key.pem": str(certificate),
                "127.0.0.1:8000": f"{LOOPBACK}:{server.http_port}",
            },
        )
        with nginx(folder, site, port):
            yield Proxy(port, certificate)


@contextlib.contextmanager
def behind_caddy(tree: Path, folder: Path) -> Iterator[Proxy]:
    """A server behind Caddy, set up as the documentation says."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("there is no caddy here")
    (port,) = free_ports(1)
    certificate = self_signed(folder, "subjectAltName=DNS:ota.example.com")
    with running_server(tree, folder / "state", "--public-url", PUBLIC_URL) as server:
        site = replaced(
            documented("caddy"),
            {
                "ota.example.com {": f"ota.example.com:{port} {{\n"
                f"bind {LOOPBACK}\ntls {certificate} {certificate}",
                "127.0.0.1:8000": f"{LOOPBACK}:{server.http_port}",
            },
        )
        config = folder / "Caddyfile"
        config.write_text(
            "{\nadmin off\nauto_https disable_redirects\n"
            f"storage file_system {folder}/caddy\n}}\n" + site
        )
        with started([program, "run", "--adapter", "caddyfile", "--config", str(config)], port):
            yield Proxy(port, certificate)


@pytest.fixture(params=[behind_nginx, behind_caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tree: Path, tmp_path: Path) -> Iterator[Proxy]:
    with request.param(tree, tmp_path) as running:
        yield running


def test_a_device_fetches_everything_through_a_documented_proxy(proxy: Proxy) -> None:
    for _ in range(2):
        manifest = json.loads(proxy.curl("/ota/manifest.json?current_ver=1.0.0"))
        for entry in (*manifest["new"], *manifest["update"], manifest["firmware"]):
            path = entry["URL"].removeprefix(PUBLIC_URL)
            assert path != entry["URL"]
            content = proxy.curl(f"/ota{path}")
            assert content == SMALL_TREE[path[1:]]
            assert proxy.curl(f"/ota{path}", "--range", "1-3") == content[1:4]


def test_people_stay_below_the_prefix(proxy: Proxy) -> None:
    shown = ("--write-out", "%{url_effective}", "--output", "/dev/null", "--location")
    at = proxy.curl("/ota/1.0.0/flash", *shown).decode()
    assert at.endswith("/ota/1.0.0/flash/")
    assert b'href="../' in proxy.curl("/ota/1.0.0/flash/")


@pytest.fixture
def cache(tree: Path, tmp_path: Path) -> Iterator[Proxy]:
    """nginx with its default cache key, in front of a server without a public URL."""
    (port,) = free_ports(1)
    with running_server(tree, tmp_path / "state") as server:
        site = (
            f"proxy_cache_path {tmp_path}/cache keys_zone=ota:1m;\n"
            f"server {{ listen {LOOPBACK}:{port}; location / {{\n"
            f"proxy_pass http://{LOOPBACK}:{server.http_port};\n"
            "proxy_set_header Host $http_host;\n"
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
            "proxy_cache ota; add_header X-Cache $upstream_cache_status; }}"
        )
        with nginx(tmp_path, site, port):
            yield Proxy(port)


def test_a_hostile_host_does_not_get_to_others_through_a_cache(cache: Proxy) -> None:
    def urls(host: str) -> tuple[str, str]:
        answer = cache.ask("/manifest.json", host)
        return json.loads(answer.body)["firmware"]["URL"], answer.fields["X-Cache"]

    path = "/firmware_1.0.1.bin"
    assert urls("evil.test") == (f"http://evil.test{path}", "MISS")
    assert urls("ota.test") == (f"http://ota.test{path}", "MISS")
    # It does cache.
    assert urls("ota.test") == (f"http://ota.test{path}", "HIT")
    assert urls("evil.test") == (f"http://evil.test{path}", "HIT")


def test_a_cache_keeps_files(cache: Proxy) -> None:
    first, second = (cache.ask("/firmware_1.0.1.bin", "ota.test") for _ in range(2))
    assert (first.fields["X-Cache"], second.fields["X-Cache"]) == ("MISS", "HIT")
    assert first.body == second.body == SMALL_TREE["firmware_1.0.1.bin"]
