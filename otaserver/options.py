"""The command line of ``twistd otaserver``, and the checks made before anything starts."""

import getopt
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from twisted.python import usage

from otaserver.catalogue.release_rules import DEFAULT_ROOTS
from otaserver.endpoints import checked_endpoint
from otaserver.option_values import (
    amount,
    check_public_address,
    count,
    folder_from,
    ports_from,
    public_url_from,
    roots_from,
    seconds,
    size_bytes,
)
from otaserver.startup import (
    CannotStart,
    check_log_file,
    check_outside,
    check_root,
    check_state,
    check_state_is_free,
    quoted,
)
from otaserver.trial import fault_as_user


class Options(usage.Options):
    """The options of ``twistd otaserver``."""

    synopsis = "[options]"
    longdesc = (
        "Updates MicroPython devices over the air. Serves a folder of releases: the files, and "
        "manifests that tell each device how to get from its version to the newest one. "
        "By default, serves ./releases over HTTP on port 8000 and over FTP on port 2121. "
        "Times are in seconds, sizes in bytes."
    )
    optParameters = [
        ["root", "r", "releases", "The folder to serve: the release tree."],
        ["http", None, "tcp:8000", "The endpoint for HTTP; '' to disable HTTP."],
        ["ftp", None, "tcp:2121", "The endpoint for FTP; '' to disable FTP."],
        [
            "public-url",
            None,
            "",
            "The start of URLs in manifests, instead of the request's host.",
        ],
        seconds(
            "settle", 2.0, "How long a release must have been left unchanged before it is offered."
        ),
        [
            "roots",
            None,
            ",".join(DEFAULT_ROOTS),
            "The folders of a device that releases may have files in, separated by commas.",
        ],
        seconds("poll", 2.0, "The time between two scans of the tree.", 0.1),
        [
            "state",
            None,
            ".otaserver",
            "The folder for what is kept across restarts, such as hashes.",
        ],
        ["access-log", None, "", "A file for the access log, instead of Twisted's log."],
        size_bytes("cache-size", 16 << 20, "The maximum size of the cache of responses."),
        count("max-connections", 2000, "The maximum number of connections; 0 for no limit."),
        count(
            "max-per-address",
            200,
            "The maximum number of connections from one address; 0 for no limit.",
        ),
        seconds("request-timeout", 30.0, "How long a client may take to send a request.", 1),
        seconds("idle-timeout", 60.0, "How long a connection may be idle between requests.", 1),
        seconds("stall-timeout", 60.0, "How long a client may stay below the minimum rate.", 1),
        seconds("disk-timeout", 20.0, "How long a client waits for a disk that hangs.", 1),
        count("disk-max-waiting", 1000, "How many clients may wait for the disk.", 1),
        amount("min-rate", 100.0, "The minimum rate, in bytes per second; 0 for none."),
        [
            "ftp-public-address",
            None,
            "",
            "The address that FTP clients are told to connect to, for a server behind NAT.",
        ],
        ["ftp-passive-ports", None, "49152-65535", "The range of ports for passive mode."],
        count(
            "ftp-max-connections", 2000, "The maximum number of FTP connections; 0 for no limit."
        ),
        count(
            "ftp-max-per-address",
            200,
            "The maximum number of FTP connections from one address; 0 for no limit.",
        ),
        size_bytes("ftp-max-command", 8192, "The maximum length of an FTP command.", 64),
        count("ftp-login-attempts", 3, "How many times a connection may try to log in.", 1),
        seconds("ftp-login-delay", 1.0, "The delay before a failed log-in is answered.", 1),
        seconds("ftp-login-timeout", 60.0, "How long a client may take to log in.", 1),
        seconds("ftp-idle-timeout", 300.0, "How long a session may be idle between commands.", 1),
        seconds("ftp-data-timeout", 30.0, "How long opening a data connection may take.", 1),
    ]
    optFlags = [
        ["wait-for-root", None, "Wait for a release tree that is missing or empty."],
        ["legacy", None, "Serve the original client: absolute paths, and padded headers."],
        [
            "ftp-data-from-network",
            None,
            "Accept FTP data connections from the client's /24 (IPv6: /64), too.",
        ],
        ["no-access-log", None, "Write no access log."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse a command line.

        Args:
            options: the command line, without the program's name; None for that of the
                process.

        Raises:
            CannotStart: an option is unknown, its value is missing or invalid, or there
                is nothing to serve.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # Twisted would print all of the help, and the error after it.
            cause = error.__context__
            if isinstance(cause, getopt.GetoptError):
                raise CannotStart(self._fault_of(cause.opt)) from error
            raise CannotStart(str(error)) from error

    def parseArgs(self, *arguments: str) -> None:
        """Refuse what follows no option.

        Args:
            arguments: what was found.

        Raises:
            CannotStart: there is something.
        """
        if arguments:
            raise CannotStart(
                f"{quoted(arguments[0])} follows no option; a folder of releases is given "
                "as --root FOLDER"
            )

    def opt_version(self) -> None:
        """Display the versions of otaserver and Twisted, and exit."""
        print(f"otaserver {version('otaserver')}, Twisted {version('twisted')}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Validate the options, and turn their values into the types that the server needs.

        Raises:
            CannotStart: the release tree can't be read, an option's value is
                invalid, or there is nothing to serve.
        """
        root = folder_from("--root", self["root"])
        self["root"] = str(root)
        self["state"] = folder_from("--state", self["state"])
        if self["access-log"]:
            # twistd changes the working directory before the file is opened.
            self["access-log"] = str(Path(self["access-log"]).absolute())
        self["public-url"] = public_url_from(self["public-url"])
        check_public_address(self["ftp-public-address"])
        self["ftp-passive-ports"] = ports_from(self["ftp-passive-ports"])
        self["roots"] = roots_from(self["roots"])
        if not self["http"] and not self["ftp"]:
            raise CannotStart("there is nothing to serve: --http and --ftp are both empty")
        for option, path, what in self._private_paths():
            check_outside(root, option, path, what)
        # Without a parent, nothing is to be started: a test parses a command line.
        daemon = self.parent or {"uid": None, "gid": None}
        fault = fault_as_user(daemon["uid"], daemon["gid"], self._fault_of_files)
        if fault:
            raise CannotStart(fault)

    def _private_paths(self) -> Iterator[tuple[str, Path, str]]:
        """List what must not be served, each with its option and what it is."""
        yield "--state", self["state"], "the state folder"
        if self["access-log"]:
            yield "--access-log", Path(self["access-log"]), "the access log"
        log = self._file_of_twistds_log()
        if log:
            yield "twistd's --logfile", log, "the log"
        for name in ("http", "ftp"):
            endpoint = checked_endpoint(f"--{name}", self[name]) if self[name] else None
            for path in endpoint.secrets() if endpoint else ():
                yield f"--{name}", path, "the private key"

    def _file_of_twistds_log(self) -> Path | None:
        """Tell where twistd will write the server's log; None if that is no file."""
        twistd = self.parent
        if twistd is None or twistd["syslog"]:
            return None
        # As in twistd's AppLogger, whose default depends on whether it becomes a daemon.
        name = twistd["logfile"] or ("-" if twistd["nodaemon"] else "twistd.log")
        return None if name == "-" else Path(name).absolute()

    def _fault_of_files(self) -> str:
        """Look for files and folders that the server could not use."""
        try:
            check_root(Path(self["root"]), bool(self["wait-for-root"]))
            check_state(self["state"])
            if self.parent is not None:
                check_state_is_free(self["state"])
            if self["access-log"]:
                check_log_file(Path(self["access-log"]))
        except CannotStart as error:
            return str(error)
        return ""

    def _fault_of(self, name: str) -> str:
        """Tell what is wrong with an option that could not be parsed at all."""
        names = {long.rstrip("="): long.endswith("=") for long in self.longOpt}
        # Like getopt, which takes the beginning of a name if it is the only one.
        full = self.synonyms.get(name, name)
        matches = [full] if full in names else [one for one in names if one.startswith(name)]
        if len(name) == 1 and name not in self.synonyms:
            matches = []
        if len(matches) > 1:
            return f"--{name} could be {' or '.join(f'--{one}' for one in matches)}"
        if matches:
            (found,) = matches
            if not names[found]:
                return f"--{found} takes no value"
            meaning = self.docs[found].rstrip(".")
            return f"--{found} needs a value: {meaning[0].lower()}{meaning[1:]}"
        return self._fault_of_unknown(f"-{name}" if len(name) == 1 else f"--{name}", names)

    def _fault_of_unknown(self, option: str, names: Iterable[str]) -> str:
        name = option.lstrip("-")
        if self.parent is not None and name in self.parent.synonyms:
            return f"{option} is an option of twistd: write it before the word otaserver"
        similar = get_close_matches(name, names, 1)
        hint = f"; did you mean --{similar[0]}?" if similar else ""
        return f"there is no option {quoted(option)}{hint}; see twistd otaserver --help"
