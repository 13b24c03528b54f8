"""Escapes in JSON strings (RFC 8259, section 7), which few manifests have."""

from ota_errors import ManifestError

ESCAPES = {0x62: 8, 0x66: 12, 0x6E: 10, 0x72: 13, 0x74: 9, 0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F}


def escape(next_byte):
    """Return what follows a backslash, as UTF-8. ManifestError if that is no escape.

    Args:
        next_byte: function that consumes and returns the next byte.
    """
    byte = next_byte()
    if byte != 0x75:
        if byte not in ESCAPES:
            raise ManifestError("has an invalid escape")
        return bytes((ESCAPES[byte],))
    code = _hex4(next_byte)
    # Characters from U+10000 up are two escapes, a surrogate pair.
    if 0xD800 <= code < 0xDC00 and next_byte() == 0x5C and next_byte() == 0x75:
        low = _hex4(next_byte)
        if 0xDC00 <= low < 0xE000:
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
    if 0xD800 <= code < 0xE000:
        raise ManifestError("has half a surrogate pair")
    return chr(code).encode()


def _hex4(next_byte):
    code = 0
    for _ in range(4):
        digit = b"0123456789abcdef".find(bytes((next_byte(),)).lower())
        if digit < 0:
            raise ManifestError("has an invalid escape")
        code = code << 4 | digit
    return code
