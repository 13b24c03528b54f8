"""Joining the Wi-Fi, once the settings are such that it can help."""

from ota_errors import ConfigError, LinkError, is_number

LONGEST_NAME = 253
LONGEST_LABEL = 63


def join(ota, client, ssid, password):
    """Join a Wi-Fi network; LinkError if that fails, ConfigError if it can't work.

    Args:
        ota: an OTA.
        client: its HTTP or FTP.
        ssid, password: of the network.
    """
    # Not when the OTA is created: whatever is wrong here, confirm() and rollback() must work.
    mistake = _find_mistake(ota, client.place[0], client.place[1], client.login)
    if mistake:
        raise ConfigError(mistake)
    try:
        ota.board.connect_wifi(ssid, password, ota.timeout_s * 3)
    except (TypeError, ValueError) as error:
        raise ConfigError("the Wi-Fi's name or password can't be used: {}".format(error))
    except Exception as error:  # on some ports TimeoutError is not an OSError
        raise LinkError("no connection to {}: {}".format(ssid, error))


def _find_mistake(ota, host, port, login):
    """Return a sentence about a setting that can't work, None if there is none."""
    for name in ("product", "device"):
        value = getattr(ota, name)
        if value and type(value) is not str:
            return "{} is not a string: {}".format(name, repr(value))
    for name in ("timeout_s", "attempts"):
        value = getattr(ota, name)
        if type(value) not in (int, float) or value <= 0:
            return "{} is not a number above 0: {}".format(name, repr(value))
    if not is_number(str(port)) or not 0 < int(port) < 65536:
        return "the server's port is not a number from 1 to 65535: {}".format(repr(port))
    for word in login:
        if type(word) is not str or any(char < " " for char in word):
            return "the user and the password for FTP must be strings without control characters"
    return _find_mistake_in_host(host)


def _find_mistake_in_host(host):
    if type(host) is not str or not host:
        return "the server's address or name is missing: {}".format(repr(host))
    if host.count(":") == 1 or "/" in host:
        return "give the server's address or name alone, without http:// or a port: " + host
    labels = host.split(".")
    if labels[-1] == "":
        labels.pop()  # a name may end with a dot
    if (
        len(host) > LONGEST_NAME
        or any(char <= " " or char in "@[]?#\\\x7f" for char in host)
        or not all(0 < len(label) <= LONGEST_LABEL for label in labels)
    ):
        return "this is no address or name of a server: " + host
    return None
