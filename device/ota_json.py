"""A JSON reader that holds one value at a time, however long the text is."""

from ota_errors import ManifestError, is_number

SPACE = b" \t\r\n"
ESCAPES = {0x62: 8, 0x66: 12, 0x6E: 10, 0x72: 13, 0x74: 9, 0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F}
NUMBER = "0123456789+-.eE"
WORDS = {"null": None, "true": True, "false": False}
LONGEST_STRING_BYTES = 1024
LONGEST_WORD_BYTES = 24
DEEPEST = 8


class JSONReader:
    """Reads from ``stream.readinto`` through ``buf``; the caller walks the structure."""

    def __init__(self, stream, buf, limit_bytes):
        self._stream = stream
        self._buf = buf
        self._end = 0
        self._at = 0
        self._left = limit_bytes

    def peek(self):
        """Return the next byte that is not space, -1 at the end."""
        while True:
            byte = self._byte()
            if byte < 0 or byte not in SPACE:
                return byte
            self._at += 1

    def members(self):
        """Yield the keys of an object; the caller reads each value before the next."""
        for _ in self._sequence(b"{", b"}"):
            key = self._string()
            self._expect(b":")
            yield key

    def items(self):
        """Yield once for each item of an array; the caller reads each before the next."""
        return self._sequence(b"[", b"]")

    def scalar(self):
        """Read a string, number, true, false or null; only whole numbers from 0 on come as int."""
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
        raise ManifestError("has a value that is no JSON: {}".format(word))

    def skip(self, depth=0):
        """Pass over a value of any kind."""
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
        """Check that nothing follows, up to the stream's own end."""
        if self.peek() >= 0:
            raise ManifestError("goes on after its end")

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

    def _next(self):
        byte = self._byte()
        if byte < 0:
            raise ManifestError("ends too soon")
        self._at += 1
        return byte

    def _expect(self, wanted):
        if self.peek() != wanted[0]:
            raise ManifestError("is not JSON: no {} where one belongs".format(wanted))
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
            byte = self._next()
            if byte == 0x22:
                return self._text(text)
            if byte < 0x20:
                raise ManifestError("has a control character in a string")
            if byte == 0x5C:
                text.extend(self._escape())
            else:
                text.append(byte)
            if len(text) > LONGEST_STRING_BYTES:
                raise ManifestError("has a string that is too long")

    def _take_plain(self, text):
        """Take what stands for itself, as far as it is in the buffer: most of all there is."""
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

    def _escape(self):
        byte = self._next()
        if byte != 0x75:
            if byte not in ESCAPES:
                raise ManifestError("has an unknown escape")
            return bytes((ESCAPES[byte],))
        code = self._hex4()
        # A character beyond the first 65,536 comes as two escapes.
        if 0xD800 <= code < 0xDC00 and self._next() == 0x5C and self._next() == 0x75:
            low = self._hex4()
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
        if 0xD800 <= code < 0xE000:
            raise ManifestError("has half a character")
        return chr(code).encode()

    def _hex4(self):
        code = 0
        for _ in range(4):
            digit = b"0123456789abcdef".find(bytes((self._next(),)).lower())
            if digit < 0:
                raise ManifestError("has an unknown escape")
            code = code << 4 | digit
        return code

    def _text(self, raw):
        try:
            return str(raw, "utf-8")
        except ValueError:
            raise ManifestError("is not UTF-8")
