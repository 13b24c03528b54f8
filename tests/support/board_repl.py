"""Runs under MicroPython: the prompt of a simulated board, on standard input and output.

What mpremote needs of it: the raw prompt, as shared/runtime/pyexec.c of MicroPython does it,
without its raw-paste mode, and no more than it echoes of the friendly one. The unix port, on which
this runs, has neither on a serial line.
"""

import sys

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
RAW = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY = b"\r\nMicroPython\r\n>>> "


class Prompt:
    """The prompt of a board.

    start: what a soft reset does before the raw prompt: it runs boot.py.
    """

    def __init__(self, start: "Callable[[], None]") -> None:
        self._start = start
        self._read = sys.stdin.buffer.read
        self._write = sys.stdout.buffer.write
        self._names: dict[str, Any] = {}

    def serve(self) -> None:
        """Do as a computer says, until the board is reset."""
        while True:
            byte = self._read(1)
            if not byte:
                return
            if byte == CTRL_A:
                self._write(RAW)
                self._serve_raw()
                self._write(FRIENDLY)

    def _serve_raw(self) -> None:
        code = bytearray()
        while True:
            byte = self._read(1)
            if byte in (CTRL_B, b""):
                return
            if byte == CTRL_A:
                self._write(RAW)
                code = bytearray()
            elif byte == CTRL_C:
                code = bytearray()
            elif byte == CTRL_E and not code:
                # A computer that asks for raw-paste mode sends two more bytes.
                self._read(2)
                self._write(b"R\x00")
            elif byte == CTRL_D:
                self._run(bytes(code).decode())
                code = bytearray()
            else:
                code.extend(byte)

    def _run(self, code: str) -> None:
        self._write(b"OK")
        if not code:
            self._names = {}
            self._write(b"\r\nMPY: soft reboot\r\n")
            self._start()
            self._write(RAW)
            return
        error = None
        try:
            exec(code, self._names)
        except Exception as raised:
            error = raised
        self._write(CTRL_D)
        if error is not None:
            sys.print_exception(error, sys.stdout)  # type: ignore[attr-defined]
        self._write(CTRL_D + b">")
