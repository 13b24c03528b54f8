"""FTP downloads: passive mode, binary, from an offset (RFC 959, RFC 2428, RFC 3659)."""

from ota_errors import LinkError, ServerError, is_number
from ota_socket import Connection

MOST_REPLY_LINES = 64


class FTP:
    """Downloads from one server; the control connection is kept between downloads.

    Args:
        host: address or name.
        port: of the control connection.
        user, password: of the account.
        timeout_s: time-out of connecting and of each read.
        board: for the clock and the watchdog.
    """

    def __init__(self, host, port, user, password, timeout_s, board):
        for word in (user, password):
            _check_argument(word)
        self._host = host
        self._port = port
        self._login = (user, password)
        self._timeout_s = timeout_s
        self._board = board
        self._control = None

    def open(self, path, offset):
        """Return a stream; see OTA.open. Raises LinkError or ServerError."""
        name = _file_name(path)
        try:
            if self._control is None:
                self._log_in()
            return self._retrieve(name, offset)
        except Exception:
            self.close()
            raise

    def close(self):
        """Close the control connection."""
        if self._control:
            self._control.close()
            self._control = None

    def finish(self, data):
        """Close a data connection that was read to its end and check the server's reply.

        Args:
            data: the data connection.

        Raises LinkError or ServerError unless the reply is 2xx (RFC 959, section 5.4).
        """
        data.close()
        self._expect(None, 2)

    def _log_in(self):
        self._control = self._connect(self._port)
        self._expect(None, 2)
        user, password = self._login
        if self._expect("USER " + user, 2, 3) == 331:
            self._expect("PASS " + password, 2)
        self._expect("TYPE I", 2)

    def _retrieve(self, name, offset):
        data = self._connect(self._passive_port())
        try:
            skip = 0
            if offset and self._command("REST {}".format(offset))[0] != 350:
                skip = offset  # not supported: what is already stored is sent again
            self._expect("RETR " + name, 1)
            return _Transfer(self, data, skip)
        except Exception:
            data.close()
            raise

    def _connect(self, port):
        return Connection(self._host, port, self._timeout_s, self._board)

    def _passive_port(self):
        """Return the port for the data connection; the host is always the server's own."""
        code, text = self._command("EPSV")
        if code == 229:
            fields = _in_brackets(text)
            return _port(fields.split(fields[:1] or "|"), 5, 3)
        if code < 500:
            raise _failure("EPSV", code, text)
        code, text = self._command("PASV")
        if code != 227:
            raise _failure("PASV", code, text)
        fields = _in_brackets(text).split(",")
        return _port(fields, 6, 4) * 256 + _port(fields, 6, 5)

    def _expect(self, command, *kinds):
        """Send a command, unless None; return the reply's code if its first digit is allowed."""
        code, text = self._command(command)
        if code // 100 not in kinds:
            raise _failure((command or "transfer").split(" ")[0], code, text)
        return code

    def _command(self, command):
        self._control.restart_clock()
        if command:
            self._control.send((command + "\r\n").encode())
        line = self._control.line()
        first = line[:4]
        if len(first) < 4 or not first[:3].isdigit():
            raise ServerError("the server does not speak FTP")
        if first[3:] == b"-":
            last = first[:3] + b" "
            for _ in range(MOST_REPLY_LINES - 1):
                line = self._control.line()
                if line.startswith(last):
                    break
            else:
                raise ServerError("the server sent a reply with too many lines")
        try:
            return int(first[:3]), str(line[4:], "utf-8")
        except ValueError:
            return int(first[:3]), "(not UTF-8)"


class _Transfer:
    """The stream of one file; it ends only when the server confirms the transfer."""

    def __init__(self, ftp, data, skip):
        self._ftp = ftp
        self._data = data
        self._whole = False
        scratch = memoryview(bytearray(min(256, skip)))
        while skip:
            count = self.readinto(scratch[: min(256, skip)])
            if not count:
                raise ServerError("the file is shorter than the part received before")
            skip -= count

    def readinto(self, view):
        """Read into a buffer; return the number of bytes, 0 at the end."""
        if self._whole:
            return 0
        count = self._data.readinto(view)
        if not count:
            self._ftp.finish(self._data)
            self._whole = True
        return count

    def close(self):
        """Close the data connection, and the control connection unless the file is complete."""
        self._data.close()
        if not self._whole:
            # The pending reply to this transfer would be taken for the next one's.
            self._ftp.close()


def _failure(command, code, text):
    kind = LinkError if 400 <= code < 500 else ServerError
    return kind("the server refused {}: {} {}".format(command, code, text[:100]))


def _in_brackets(text):
    return text.split("(", 1)[-1].split(")", 1)[0]


def _port(fields, count, index):
    """Return a number from a reply's fields: a port (EPSV) or one byte of it (PASV)."""
    number = fields[index].strip() if len(fields) == count else ""
    limit = 65535 if count == 5 else 255
    if not is_number(number) or len(number) > 5 or int(number) > limit:
        raise ServerError("the server's reply to EPSV or PASV has no valid port")
    return int(number)


def _file_name(path):
    """Decode a URL's path to the name FTP uses; a query stays part of the name."""
    at = path.find("?")
    query = path[at:] if at >= 0 else ""
    path = path[:at] if at >= 0 else path
    pieces = path.split("%")
    name = bytearray(pieces[0].encode())
    try:
        for piece in pieces[1:]:
            name.append(int(piece[:2], 16))
            name.extend(piece[2:].encode())
        name = str(name, "utf-8")
    except ValueError:
        raise ServerError("{} is not a valid URL path".format(path))
    _check_argument(name)
    return name + query


def _check_argument(text):
    if any(char < " " for char in text):
        raise ServerError("an FTP argument has a control character")
