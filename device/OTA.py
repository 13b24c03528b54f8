"""Over-the-air updates: ``from OTA import WiFiOTA``. See README.md beside this file."""

import gc
import sys

from ota_errors import StateError, StorageError
from ota_files import NONE, VERSION_RECORD, Layout, exists

# The modules, without "ota_", that are loaded when needed and unloaded soon after: those for
# the network, and the steps of an update.
LINK = "join connect answer odd_answer chunked redirect transfer ftp_setup retry "
STEPS = (
    "question manifest json json_escape draft rules starts prune store need fetch moved sink "
    "image aside damage commit ending wanted"
)
TRANSPORTS = "http ftp socket"
# Together: either would go on with what is left of the other.
JOURNAL = "journal replay placing wanted"


class OTA:
    """Updates over any transport; a subclass provides ``connect`` and ``open``.

    Args:
        board: a board, see ota_board; None to detect it.
        product: the server's folder with this device's releases.
        device: a name that identifies this device to the server.
        log: called with each message, one line of text.
        progress: called with (bytes done, total bytes, name of the file or firmware).
        timeout_s: time-out of connecting and of each read.
        attempts: failures in a row after which an update gives up.
        trial_boots: number of boots within which a new release must be confirmed.
        skip_firmware: skip firmware that the board can't take instead of failing.
        manifest_limit_bytes: size of the largest manifest accepted.
        roots: folders beside ``flash`` and ``sd`` that releases have files for, and where
            they are on the device, such as ``{"app": "/app"}``. ValueError if unusable.
    """

    # Of the class, as most devices have none: another attribute would cost them memory.
    _roots = ()

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
        roots=None,
    ):
        if board is None:
            from ota_board import find_board

            board = find_board()
        if roots:
            from ota_roots import add_roots

            self._roots = add_roots(board, roots)
        self.board = board
        self.product = product
        self.device = device
        self.log = log
        self.progress = progress or _no_progress
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.trial_boots = trial_boots
        self.skip_firmware = skip_firmware
        self.manifest_limit_bytes = manifest_limit_bytes

    def connect(self):
        """Make the server reachable; called before each update and before each retry.

        Raises LinkError if that fails, ConfigError if it can't ever work.
        """
        raise NotImplementedError

    def open(self, path, offset):
        """Return a stream of the content at ``path``.

        The stream has ``readinto(buffer)``, which returns the number of bytes read and 0
        only at the end of the content, and ``close()``.

        Args:
            path: path and query, such as ``/manifest.json?current_ver=1.0.0``.
            offset: position of the first byte wanted.

        Raises LinkError, like ``readinto``, if a retry may succeed.
        """
        raise NotImplementedError

    def close(self):
        """Release whatever ``open`` keeps between calls."""

    def _rest(self):
        """Free the memory of whatever ``open`` needs; the update needs it no more."""

    def update(self, again=False, repair=False):
        """Install the release that the server offers, then reset; False if there is none.

        The new release is on trial until confirm().

        Args:
            again: accept a release that this device has already rolled back.
            repair: bring back files that differ from the release by now, if it is the newest.

        Raises OTAError; the old release is then untouched.
        """
        if self._settle():
            raise StateError("an update is on trial: confirm it or roll it back first")
        _unload(JOURNAL)
        journal = self._stored(self._prepare, again, repair)
        if journal is None:
            return False
        try:
            from ota_replay import Recovery

            Recovery(journal).install()
        finally:
            # Whatever happened, the next boot carries on, with all memory free.
            self.board.reset()

    def confirm(self):
        """Keep the release on trial; False if there is none. Call this once the app works."""
        journal = self._settle()
        if journal is None:
            return False
        self._stored(self._confirm, journal)
        return True

    def _confirm(self, journal):
        if not journal.firmware_runs():
            self._recover()  # switches to it, and resets
        if journal.new_slot != NONE:
            self.board.keep_slot()
        from ota_ending import end

        end(journal, "installed", "")
        _unload("ending " + JOURNAL)
        # What is loaded of it was there at boot, and may be of another release.
        alarm = sys.modules.get("ota_alarm")
        if alarm:
            alarm.cancel()

    def rollback(self):
        """Roll back the release on trial, then reset. StateError if there is none."""
        journal = self._settle()
        if journal is None:
            raise StateError("no release is on trial, so there is nothing to roll back")
        self._stored(journal.note, "back", "requested")
        self._stored(self._recover)
        self.board.reset()

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None.

        The result is "installed" or "rolled back".
        """
        return self._layout().outcome()

    def versions(self):
        """Return (files, firmware): the installed versions, each None if unknown."""
        found = self.record()
        return found.get("VERSION"), found.get("FIRMWARE_VERSION")

    def record(self):
        """Return the version record: VERSION, FIRMWARE_VERSION and RELEASE, as far as known."""
        found = {}
        try:
            with open(self._layout().absolute(VERSION_RECORD), "r") as record:
                for line in record:
                    pair = line.split("=", 1)
                    found[pair[0].strip()] = pair[-1].strip().strip("'\"")
        except (OSError, ValueError):
            pass  # no version record, or not a text file
        return found

    def wait_to_retry(self, failures, error):
        """Wait before a retry, with exponential back-off and jitter, and connect again.

        Args:
            failures: number of failures in a row so far.
            error: the LinkError to raise if there are no attempts left.

        Returns the number of failures by now: connecting may have failed as well.
        """
        # Nothing is open any more: make room for what follows.
        self.close()
        _unload("")
        from ota_retry import wait_to_retry

        failures = wait_to_retry(self, self._layout().log, failures, error)
        _unload("")
        return failures

    def _settle(self):
        """Finish an update that boot.py has not; return the Journal of a trial, else None."""
        if not exists(self._layout().path):
            return None
        from ota_journal import Journal  # only now, to save memory

        journal = Journal(self.board, self.log)
        try:
            state = journal.state()
        except OSError as error:
            from ota_damage import give_up_journal

            self._stored(give_up_journal, self._layout(), error)
        if state not in ("idle", "trial"):
            if self._stored(self._recover) == "incomplete":
                return None  # the next update repairs it
            state = self._stored(journal.state)
            if state not in ("idle", "trial"):
                raise StorageError("an update was interrupted, and can't be completed now")
        if state == "idle":
            self._stored(journal.discard)
        return journal if state == "trial" else None

    def _recover(self):
        """Have recovery go on with the update; return the state if the device does not reset."""
        from ota_recovery import recover

        return recover(board=self.board, log=self.log, trial_s=0)

    def _layout(self):
        return Layout(self.board, self.log)

    def _stored(self, action, *arguments):
        try:
            return action(*arguments)
        except OSError as error:
            raise StorageError("a file system on this device failed: {}".format(error))

    def _prepare(self, again, repair):
        """Do everything up to and including the journal; None if there is nothing to install."""
        self.connect()
        try:
            # Each part is loaded when needed and unloaded before the next one.
            work = self._plan(again, repair)
            if work is None:
                return None
            # A signature of the manifest would be verified here, before anything is fetched.
            version, previous_version, record, firmware, fetch_bytes, identity = work
            self._store(record)
            slots = self._fetch(firmware, fetch_bytes)
            from ota_commit import write_journal

            versions = version, previous_version
            return write_journal(
                self._layout(), versions, identity, self.trial_boots, slots, self._roots
            )
        finally:
            _unload()
            self.close()

    def _plan(self, again, repair):
        from ota_manifest import read_manifest

        plan = read_manifest(self, self._layout(), _unload, repair)
        del read_manifest
        _unload()
        work = None
        if plan is not None:
            from ota_draft import Draft

            work = Draft(self, self._layout(), plan).make(self.record(), again)
            del Draft
            _unload()
        from ota_prune import prune

        prune(self._layout(), work is not None)
        _unload()
        return work

    def _store(self, record):
        from ota_store import Store

        store = Store(self._layout())
        store.check_space()
        store.keep_old()
        store.keep_record(record)
        _unload()

    def _fetch(self, firmware, fetch_bytes):
        """Return the names of the new firmware's slot and of the running one."""
        # As much as ota_write takes on a Pycom, and a block of an ESP32's slot; taken before the
        # memory is in pieces.
        buf = bytearray(4096)
        from ota_fetch import Fetch

        fetch = Fetch(self, self._layout(), fetch_bytes, buf)
        fetch.files()
        slots = fetch.firmware(*firmware) if firmware else (NONE, NONE)
        _unload()
        self._rest()
        return slots


class _WiFi(OTA):
    """The Wi-Fi connection, shared by WiFiOTA and FTPOTA."""

    def __init__(self, ssid, password, **options):
        super().__init__(**options)
        self._network = (ssid, password)
        # Now, so that invalid arguments are refused, and a device loads only what it uses.
        self._client = self._make_client()

    def connect(self):
        """Join the Wi-Fi network. LinkError if that fails, ConfigError if it can't work."""
        from ota_join import join

        join(self, self._get_client(), *self._network)

    def open(self, path, offset):
        """See OTA.open."""
        return self._get_client().open(path, offset)

    def close(self):
        """Close the connection that is kept between requests."""
        if self._client:
            self._client.close()

    def _rest(self):
        self.close()
        self._client = None
        _unload(TRANSPORTS)

    def _get_client(self):
        # An update that failed after the last download has left none.
        self._client = self._client or self._make_client()
        return self._client

    def _make_client(self):
        raise NotImplementedError


class WiFiOTA(_WiFi):
    """Updates over Wi-Fi from an HTTP server.

    Args:
        ssid, password: of the Wi-Fi network.
        ip: address or name of the server.
        port: its HTTP port.
        options: keyword arguments of OTA.
    """

    def __init__(self, ssid, password, ip, port, **options):
        self._server = (ip, port)
        super().__init__(ssid, password, **options)

    def _make_client(self):
        from ota_http import HTTP

        return HTTP(*self._server, timeout_s=self.timeout_s, board=self.board)


class FTPOTA(_WiFi):
    """Updates over Wi-Fi from an FTP server.

    Args:
        ssid, password: of the Wi-Fi network.
        ip: address or name of the server.
        port: its FTP control port.
        user, login_password: the account on the server.
        options: keyword arguments of OTA.
    """

    def __init__(self, ssid, password, ip, port, user="anonymous", login_password="", **options):
        self._server = (ip, port, user, login_password)
        super().__init__(ssid, password, **options)

    def _make_client(self):
        from ota_ftp import FTP

        return FTP(*self._server, timeout_s=self.timeout_s, board=self.board)


def _unload(steps=STEPS):
    for name in (LINK + steps).split():
        module = sys.modules.pop("ota_" + name, None)
        # The garbage collector is conservative: a stale pointer to one function would
        # keep its whole module alive.
        if module and hasattr(gc, "mem_free") and hasattr(module, "__dict__"):
            module.__dict__.clear()
    gc.collect()


def _no_progress(done_bytes, total_bytes, what):
    pass
