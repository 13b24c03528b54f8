"""Over-the-air updates: ``from OTA import WiFiOTA``. See README.md beside this file."""

import gc
import sys

from ota_errors import LinkError, StateError, StorageError
from ota_recovery import NONE, VERSION_RECORD, Recovery

FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = 60000
PARTS = (
    "ota_manifest", "ota_json", "ota_draft", "ota_rules", "ota_store", "ota_fetch", "ota_journal",
)  # fmt: skip


class OTA:
    """An update over any transport: a subclass gives ``connect`` and ``open``.

    board: what differs between boards, see ota_board; found out if None.
    product: folder of the server that has this device's releases.
    device: a name that the server may know this device by.
    log: called with one line of text; progress: with (bytes done, bytes in all, what).
    timeout_s: of a connection and of each read; attempts: in a row that bring nothing.
    trial_boots: how many boots a new release has to be confirmed in.
    skip_firmware: leave out a firmware that the board can't take, instead of failing.
    manifest_limit_bytes: the largest manifest read.
    """

    def __init__(
        self,
        board=None,
        product="",
        device=None,
        log=None,
        progress=None,
        timeout_s=10,
        attempts=5,
        trial_boots=3,
        skip_firmware=False,
        manifest_limit_bytes=1048576,
    ):
        if board is None:
            from ota_board import find_board

            board = find_board()
        self.board = board
        self.product = product
        self.device = device
        self.progress = progress or _no_progress
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.trial_boots = trial_boots
        self.skip_firmware = skip_firmware
        self.manifest_limit_bytes = manifest_limit_bytes
        self._recovery = Recovery(board, log)

    def connect(self):
        """Make the server reachable; called before each update."""
        raise NotImplementedError

    def open(self, path, offset):
        """Return a stream of what the server has at ``path``, from byte ``offset`` on.

        The stream has ``readinto(buffer)``, which returns 0 at the end of the whole, and
        ``close()``. Both raise LinkError where another attempt may work.
        """
        raise NotImplementedError

    def close(self):
        """Let go of what ``open`` keeps between two calls."""

    def update(self, again=False):
        """Bring this device to what the server offers, and reset; False if there is nothing.

        Raises OTAError with the old release untouched. Until confirm() the new one is on
        trial. again: take a release that this device has gone back from, too.
        """
        if self._settle() == "trial":
            raise StateError("an update is on trial: confirm it or roll it back first")
        if not self._stored(self._prepare, again):
            return False
        try:
            self._recovery.install()
        finally:
            # Whatever came in between: the next boot goes on, with all memory free.
            self.board.reset()

    def confirm(self):
        """Keep the release on trial; False if none is. Call it once the application works."""
        if self._settle() != "trial":
            return False
        self._stored(self._recovery.confirm)
        return True

    def rollback(self):
        """Go back to the release before the one on trial, and reset."""
        if self._settle() != "trial":
            raise StateError("no release is on trial, so there is none to go back to")
        self._stored(self._recovery.go_back, "asked")
        self.board.reset()

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None."""
        return self._recovery.outcome()

    def versions(self):
        """Return the versions of files and firmware that this device has, None if unknown."""
        found = {}
        try:
            with open(self._recovery.absolute(VERSION_RECORD), "r") as record:
                for line in record:
                    pair = line.split("=", 1)
                    found[pair[0].strip()] = pair[-1].strip().strip("'\"")
        except (OSError, ValueError):
            pass  # no record, or not one in text
        return found.get("VERSION"), found.get("FIRMWARE_VERSION")

    def wait_to_retry(self, failures, error):
        """Wait before the next attempt, longer each time; raise ``error`` after the last."""
        if failures >= self.attempts:
            raise error
        wait_ms = min(FIRST_WAIT_MS << failures, LONGEST_WAIT_MS)
        # Between half and all of it: a fleet that lost its server doesn't return as one.
        wait_ms = wait_ms // 2 + wait_ms * self.board.random_byte() // 512
        self._recovery.log("{}; next attempt in {} ms".format(error, wait_ms))
        self.close()
        self.board.sleep_ms(max(wait_ms, error.retry_after_s * 1000))

    def _settle(self):
        """Finish what a reset cut short, should boot.py not have; return the state."""
        state = self._stored(self._recovery.state)
        if state in ("idle", "trial"):
            return state
        return self._stored(self._recovery.at_boot)

    def _stored(self, action, *arguments):
        try:
            return action(*arguments)
        except OSError as error:
            raise StorageError("a file system of this device failed: {}".format(error))

    def _prepare(self, again):
        """Do all that comes before the journal, and write it; False if nothing is to be done."""
        self.connect()
        try:
            # Each part is loaded when needed, and out of memory before the next comes in.
            work = self._plan(again)
            if work is None:
                return False
            # The plan is checked: here is where it is asked who made it, before it is followed.
            version, previous_version, record, firmware, fetch_bytes = work
            self._store(record)
            slots = self._fetch(firmware, fetch_bytes)
            from ota_journal import write_journal

            header = ("ota 1", version, previous_version, str(self.trial_boots))
            write_journal(self._recovery, header + slots)
            return True
        finally:
            _unload(*PARTS)
            self.close()

    def _plan(self, again):
        from ota_manifest import read_manifest

        plan = read_manifest(self, self._recovery)
        del read_manifest
        _unload("ota_manifest", "ota_json")
        if plan is None:
            return None
        from ota_draft import Draft

        work = Draft(self, self._recovery, plan).make(self.versions(), again)
        _unload("ota_draft", "ota_rules")
        return work

    def _store(self, record):
        from ota_store import Store

        store = Store(self._recovery)
        store.check_space()
        store.keep_old()
        store.keep_record(record)
        _unload("ota_store")

    def _fetch(self, firmware, fetch_bytes):
        """Return the names of the slot for the firmware and of the one that runs now."""
        from ota_fetch import Fetch

        fetch = Fetch(self, self._recovery, fetch_bytes)
        fetch.files()
        slots = fetch.firmware(*firmware) if firmware else (NONE, NONE)
        _unload("ota_fetch")
        return slots


class _WiFi(OTA):
    """What WiFiOTA and FTPOTA share: the network."""

    def __init__(self, ssid, password, ip, port, **options):
        super().__init__(**options)
        self._network = (ssid, password)
        self._client = None

    def connect(self):
        try:
            self.board.connect_wifi(self._network[0], self._network[1], self.timeout_s * 3)
        except Exception as error:  # TimeoutError is no OSError everywhere
            raise LinkError("no connection to {}: {}".format(self._network[0], error))

    def open(self, path, offset):
        return self._client.open(path, offset)

    def close(self):
        self._client.close()


class WiFiOTA(_WiFi):
    """Updates over Wi-Fi from an HTTP server; ``ip`` may be a name."""

    def __init__(self, ssid, password, ip, port, **options):
        super().__init__(ssid, password, ip, port, **options)
        # Here, so that a device loads only the transport that it uses.
        from ota_http import HTTP

        self._client = HTTP(ip, port, self.timeout_s, self.board)


class FTPOTA(_WiFi):
    """Updates over Wi-Fi from an FTP server; ``user`` and ``login_password`` log in there."""

    def __init__(self, ssid, password, ip, port, user="anonymous", login_password="", **options):
        super().__init__(ssid, password, ip, port, **options)
        from ota_ftp import FTP

        self._client = FTP(ip, port, user, login_password, self.timeout_s, self.board)


def _unload(*names):
    for name in names:
        module = sys.modules.pop(name, None)
        # MicroPython takes for a pointer what looks like one: a stale one must not hold
        # a function, and with it its whole module.
        if module and hasattr(gc, "mem_free") and hasattr(module, "__dict__"):
            module.__dict__.clear()
    gc.collect()


def _no_progress(done_bytes, total_bytes, what):
    pass
