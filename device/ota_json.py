"""A streaming JSON reader (RFC 8259) that holds one value at a time in memory."""

from ota_errors import ManifestError, is_number

SPACE = b" \t\r\n"
NUMBER = "0123456789+-.eE"
WORDS = {"null": None, "true": True, "false": False}
LONGEST_STRING_BYTES = 1024
LONGEST_WORD_BYTES = 24
DEEPEST = 8


class JSONReader:
    """Reads JSON from a stream; the caller walks the structure.

    Every method that reads raises ManifestError if the text is malformed or too large.

    Args:
        stream: object with ``readinto(buffer)``, which returns 0 at the end.
        buf: bytearray to read through.
        limit_bytes: size of the largest text accepted.
    """

    def __init__(self, stream, buf, limit_bytes):
        self._stream = stream
        self._buf = buf
        self._end = 0
        self._at = 0
        self._left = limit_bytes

    def peek(self):
        """Return the next byte that is not white space without consuming it, -1 at the end."""
        while True:
            byte = self._byte()
            if byte < 0 or byte not in SPACE:
                return byte
            self._at += 1

    def members(self):
        """Yield the keys of an object; the caller must read each value before the next key."""
        for _ in self._sequence(b"{", b"}"):
            key = self._string()
            self._expect(b":")
            yield key

    def items(self):
        """Yield once for each item of an array; the caller must read it before the next."""
        return self._sequence(b"[", b"]")

    def scalar(self):
        """Read a string, number, true, false or null; integers from 0 up are int, others float."""
        if self.peek() == 0x22:
            return self._string()
        word = self._word()
        if word in WORDS:
            return WORDS[word]
        if is_number(word):
            return int(word)
        try:
            if not word.strip(NUMBER):
                return float(word)
        except ValueError:
            pass  # such as 1-2
        raise ManifestError("has an invalid JSON value: {}".format(word))

    def skip(self, depth=0):
        """Skip a value of any type.

        Args:
            depth: how deep it is nested in the value being skipped.
        """
        if depth > DEEPEST:
            raise ManifestError("is nested too deeply")
        first = self.peek()
        if first == 0x7B:
            for _ in self.members():
                self.skip(depth + 1)
        elif first == 0x5B:
            for _ in self.items():
                self.skip(depth + 1)
        else:
            self.scalar()

    def finish(self):
        """Check that nothing but white space follows."""
        if self.peek() >= 0:
            raise ManifestError("has data after its end")

    def _byte(self):
        if self._at == self._end:
            self._at = 0
            self._end = self._stream.readinto(self._buf)
            if not self._end:
                return -1
            self._left -= self._end
            if self._left < 0:
                raise ManifestError("is larger than the limit")
        return self._buf[self._at]

    def next(self):
        """Consume and return the next byte."""
        byte = self._byte()
        if byte < 0:
            raise ManifestError("is truncated")
        self._at += 1
        return byte

    def _expect(self, wanted):
        if self.peek() != wanted[0]:
            raise ManifestError("is not JSON: {} expected".format(wanted))
        self._at += 1

    def _sequence(self, opening, closing):
        self._expect(opening)
        if self.peek() == closing[0]:
            self._at += 1
            return
        while True:
            yield
            if self.peek() == closing[0]:
                self._at += 1
                return
            self._expect(b",")

    def _word(self):
        word = bytearray()
        while True:
            byte = self._byte()
            if byte < 0 or byte in b" \t\r\n,]}:":
                break
            word.append(byte)
            self._at += 1
            if len(word) > LONGEST_WORD_BYTES:
                raise ManifestError("has a number that is too long")
        return self._text(word)

    def _string(self):
        self._expect(b'"')
        text = bytearray()
        while True:
            self._take_plain(text)
            if len(text) > LONGEST_STRING_BYTES:
                raise ManifestError("has a string that is too long")
            byte = self.next()
            if byte == 0x22:
                return self._text(text)
            if byte < 0x20:
                raise ManifestError("has a control character in a string")
            if byte == 0x5C:
                from ota_json_escape import escape

                text.extend(escape(self.next))
            else:
                text.append(byte)

    def _take_plain(self, text):
        """Append the buffered bytes up to the next quote, backslash or control character."""
        buf = self._buf
        at = self._at
        end = self._end
        while at < end:
            byte = buf[at]
            if byte == 0x22 or byte == 0x5C or byte < 0x20:
                break
            at += 1
        text.extend(memoryview(buf)[self._at : at])
        self._at = at

    def _text(self, raw):
        try:
            return str(raw, "utf-8")
        except ValueError:
            raise ManifestError("is not UTF-8")
