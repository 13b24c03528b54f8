"""Logging in to an FTP server, and its older passive mode: what few transfers begin with."""

from ota_transfer import command, port_in


def log_in(ftp):
    """Connect and log in; LinkError or ServerError if that fails.

    Args:
        ftp: an FTP without a control connection.
    """
    ftp.control = ftp.connect(ftp.place[1])
    command(ftp, None, 2)
    user, password = ftp.login
    if command(ftp, "USER " + user, 2, 3)[0] == 331:
        command(ftp, "PASS " + password, 2)
    command(ftp, "TYPE I", 2)


def connect_by_pasv(ftp):
    """Return a data connection by PASV. Raises LinkError or ServerError.

    Args:
        ftp: an FTP.
    """
    text = command(ftp, "PASV", 227)[1]
    # The address in the reply is ignored: behind a NAT it is wrong, and it could be anyone's.
    data = ftp.connect(port_in(text, ",", 6, 4) * 256 + port_in(text, ",", 6, 5))
    # In this session from now on at once: the other way may have cost a time-out.
    ftp.is_epsv_open = False
    return data
