"""One way to ask a server, whatever protocol it speaks."""

import contextlib
import ftplib
import http.client
import re
from collections.abc import Iterator
from html import unescape
from typing import Protocol
from urllib.parse import quote_from_bytes, unquote, urlsplit

from tests.support.process import LOOPBACK, Server

_TIMEOUT_S = 20
_LINK = re.compile(r'<a href="\./([^"]*)">')


class Refused(Exception):
    """The server does not give what it was asked for.

    Attributes:
        sentence: why.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Transport(Protocol):
    """Asks one server over one protocol; paths are bytes, as they are on disk.

    Attributes:
        authority: what URLs in manifests begin with.
    """

    authority: str

    def get(self, path: bytes, offset: int = 0, query: str = "") -> bytes:
        """Fetch something from an offset on; raises `Refused`."""

    def size(self, path: bytes, query: str = "") -> int:
        """Ask how long something is; raises `Refused`."""

    def names(self, path: bytes) -> list[str]:
        """List a folder; raises `Refused`."""


class OverHTTP:
    """HTTP, a connection for each request."""

    def __init__(self, server: Server) -> None:
        self.authority = server.http_url

    def get(self, path: bytes, offset: int = 0, query: str = "") -> bytes:
        status, _, body = self._ask("GET", path, query, offset)
        if offset and status == 416 and self.size(path, query) == offset:
            # FTP calls a range of nothing at the end a transfer of nothing.
            return b""
        if offset and status == 200:
            # No range of what is no file.
            return body[offset:]
        return _checked(status, body)

    def size(self, path: bytes, query: str = "") -> int:
        status, fields, _ = self._ask("HEAD", path, query)
        _checked(status, b"")
        return int(fields["Content-Length"])

    def names(self, path: bytes) -> list[str]:
        page = self.get(path + b"/").decode()
        links = [unquote(unescape(link)) for link in _LINK.findall(page)]
        return [link.removesuffix("/") for link in links if not link.startswith("..")]

    def _ask(
        self, method: str, path: bytes, query: str, offset: int = 0
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        parts = urlsplit(self.authority)
        assert parts.hostname is not None
        target = quote_from_bytes(b"/" + path.lstrip(b"/")) + query
        with contextlib.closing(
            http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        ) as connection:
            fields = {"Range": f"bytes={offset}-"} if offset else {}
            connection.request(method, target, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


class OverFTP:
    """FTP, a control connection for each request."""

    def __init__(self, server: Server) -> None:
        self._port = server.ftp_port
        self.authority = server.ftp_url

    def get(self, path: bytes, offset: int = 0, query: str = "") -> bytes:
        parts: list[bytes] = []
        with self._session() as ftp:
            ftp.retrbinary(f"RETR {_line(path)}{query}", parts.append, rest=offset or None)
        return b"".join(parts)

    def size(self, path: bytes, query: str = "") -> int:
        with self._session() as ftp:
            return int(ftp.sendcmd(f"SIZE {_line(path)}{query}").split()[1])

    def names(self, path: bytes) -> list[str]:
        with self._session() as ftp:
            if path:
                ftp.sendcmd(f"CWD {_line(path)}")
            return [name.encode("latin-1").decode() for name in ftp.nlst()]

    @contextlib.contextmanager
    def _session(self) -> Iterator[ftplib.FTP]:
        # In this encoding every byte is a character.
        with ftplib.FTP(encoding="latin-1", timeout=_TIMEOUT_S) as ftp:
            ftp.connect(LOOPBACK, self._port)
            ftp.login()
            try:
                yield ftp
            except (ftplib.error_temp, ftplib.error_perm) as error:
                assert str(error).startswith(("450 ", "550 ")), error
                raise Refused(str(error)[4:]) from error


def _line(path: bytes) -> str:
    # A telnet control's first byte is sent twice where it is meant as it is.
    return path.replace(b"\xff", b"\xff\xff").decode("latin-1")


def _checked(status: int, body: bytes) -> bytes:
    if status >= 400:
        raise Refused(body.decode().rstrip("\n"))
    assert status in (200, 206), status
    return body
