"""Commands to an FTP server, its replies, and the transfers of files."""

from ota_errors import LinkError, ServerError, is_number

MOST_REPLY_LINES = 64


def retrieve(ftp, path, offset):
    """Return the stream of a file; log in before, if need be.

    Args:
        ftp: an FTP.
        path: of its URL, with the query.
        offset: position of the first byte wanted.

    Raises LinkError or ServerError; the control connection must be closed then.
    """
    name = _file_name(path)
    if ftp.control is None:
        from ota_ftp_setup import log_in

        log_in(ftp)
    data = _open_data(ftp)
    try:
        rests = offset and command(ftp, "REST {}".format(offset))[0] == 350
        command(ftp, "RETR " + name, 1)
        body = _Transfer(ftp, data)
        if offset and not rests:
            from ota_retry import skip

            skip(body, offset, path)  # what is already stored is sent again
        return body
    except Exception:
        data.close()
        raise


def command(ftp, line, *expected):
    """Send a command, unless None; return the reply's code and text.

    Args:
        ftp: an FTP.
        line: the command.
        expected: codes, or first digits of codes; whatever else is replied is an error.

    Raises LinkError or ServerError.
    """
    code, text = _reply(ftp.control, line)
    if expected and code not in expected and code // 100 not in expected:
        kind = LinkError if 400 <= code < 500 else ServerError
        name = (line or "transfer").split(" ")[0]
        raise kind("the server refused {}: {} {}".format(name, code, text[:100]))
    return code, text


def _reply(control, line):
    control.restart_clock()
    if line:
        control.send((line + "\r\n").encode())
    line = control.line()
    first = line[:4]
    if len(first) < 4 or not first[:3].isdigit():
        raise ServerError("the server does not speak FTP")
    if first[3:] == b"-":
        last = first[:3] + b" "
        for _ in range(MOST_REPLY_LINES - 1):
            line = control.line()
            if line.startswith(last):
                break
        else:
            raise ServerError("the server sent a reply with too many lines")
    try:
        return int(first[:3]), str(line[4:], "utf-8")
    except ValueError:
        return int(first[:3]), "(not UTF-8)"


def port_in(text, separator, count, at):
    """Return a number from a reply's brackets: a port (EPSV) or one byte of it (PASV).

    Args:
        text: of the reply.
        separator: between the fields, "" for whatever the first character is.
        count: of the fields.
        at: index of the field wanted.
    """
    text = text.split("(", 1)[-1].split(")", 1)[0]
    fields = text.split(separator or text[:1] or "|")
    number = fields[at].strip() if len(fields) == count else ""
    limit = 65535 if count == 5 else 255
    if not is_number(number) or len(number) > 5 or int(number) > limit:
        raise ServerError("the server's reply to EPSV or PASV has no valid port")
    return int(number)


class _Transfer:
    """The stream of one file; it ends only when the server confirms the transfer."""

    def __init__(self, ftp, data):
        self._ftp = ftp
        self._data = data
        self._whole = False

    def readinto(self, view):
        """Read into a buffer; return the number of bytes, 0 at the end."""
        if self._whole:
            return 0
        count = self._data.readinto(view)
        if not count:
            self._data.close()
            # Only 2xx confirms that this is all of the file (RFC 959, section 5.4).
            command(self._ftp, None, 2)
            self._whole = True
        return count

    def close(self):
        """Close the data connection, and the control connection unless the file is complete."""
        self._data.close()
        if not self._whole:
            # The pending reply to this transfer would be taken for the next one's.
            self._ftp.close()


def _open_data(ftp):
    """Return a data connection; the host is always the server's own."""
    if ftp.is_epsv_open:
        code, text = command(ftp, "EPSV", 229, 5)
        if code == 229:
            port = port_in(text, "", 5, 3)
            try:
                return ftp.connect(port)
            except LinkError:
                pass  # some firewalls and NATs open the port of PASV only
    from ota_ftp_setup import connect_by_pasv

    return connect_by_pasv(ftp)


def _file_name(path):
    """Decode a URL's path to the name FTP uses; a query stays part of the name."""
    at = path.find("?")
    query = path[at:] if at >= 0 else ""
    pieces = (path[:at] if at >= 0 else path).split("%")
    name = bytearray(pieces[0].encode())
    try:
        for piece in pieces[1:]:
            name.append(int(piece[:2], 16))
            name.extend(piece[2:].encode())
        name = str(name, "utf-8") + query
    except ValueError:
        raise ServerError("{} is not a valid URL path".format(path))
    if any(char < " " for char in name):
        raise ServerError("an FTP argument has a control character")
    return name
