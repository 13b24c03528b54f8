"""Where a redirect leads (RFC 9110, section 10.2.2; RFC 3986, section 5).

A redirect changes where bytes come from, and nothing else: their path in the manifest, their
hash, and whatever a signature covers stay those that were asked for. This library speaks no
TLS yet; once it does, a redirect from https to http must be refused here.
"""

from ota_errors import LinkError, ServerError, is_number

# Answered in place of a server by captive portals, so that a retry may succeed later.
TEMPORARY = (302, 303, 307)
# A longer header may have been cut off.
LONGEST_BYTES = 1000


def follow(status, location, place, target):
    """Return ((host, port), path and query) of where a redirect leads.

    Args:
        status: of the redirect.
        location: value of the Location header.
        place: (host, port) that was asked.
        target: path and query that were asked for.

    Raises LinkError or ServerError if it can't be followed.
    """
    found = _resolve(location.split("#", 1)[0], place, target)
    if not found or len(location) > LONGEST_BYTES:
        kind = LinkError if status in TEMPORARY else ServerError
        raise kind(
            "{} is redirected to where HTTP can't follow: {}".format(target, location[:100])
        )
    return found


def _resolve(location, place, target):
    scheme = location.split(":", 1)[0]
    if ":" in location and not ("/" in scheme or "?" in scheme or "[" in scheme):
        location = location[len(scheme) + 1 :]
        if scheme.lower() != "http" or not location.startswith("//"):
            return None
    if location.startswith("//"):
        end = min(_find(location, "/", 2), _find(location, "?", 2))
        place = _place(location[2:end])
        location = location[end:]
        if not location.startswith("/"):
            location = "/" + location
    if not place:
        return None
    path = target.split("?", 1)[0]
    if not location:
        location = target
    elif location.startswith("?"):
        location = path + location
    elif not location.startswith("/"):
        location = path[: path.rfind("/") + 1] + location
    return place, _quoted(_without_dots(location))


def _find(text, char, start):
    at = text.find(char, start)
    return len(text) if at < 0 else at


def _place(authority):
    """Return (host, port), None if the authority of a URL is invalid."""
    host, port = authority, "80"
    at = authority.rfind(":")
    if at > authority.rfind("]"):
        host, port = authority[:at], authority[at + 1 :] or "80"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if not host or any(char <= " " or char in "@[]\\" for char in host):
        return None
    if not is_number(port) or len(port) > 5 or not 0 < int(port) < 65536:
        return None
    return host, int(port)


def _without_dots(location):
    """Resolve ``.`` and ``..`` in the path (RFC 3986, section 5.2.4)."""
    end = _find(location, "?", 0)
    kept = []
    names = location[:end].split("/")
    for index, name in enumerate(names):
        if name in (".", ".."):
            if name == ".." and len(kept) > 1:
                kept.pop()
            if index == len(names) - 1:
                kept.append("")
        else:
            kept.append(name)
    return "/".join(kept) + location[end:]


def _quoted(location):
    """Quote what a request line can't hold."""
    quoted = ""
    for byte in location.encode():
        quoted += chr(byte) if 0x20 < byte < 0x7F else "%{:02X}".format(byte)
    return quoted
