# Two devices on Linux without any hardware: each is a folder that the sample server
# updates. Runs under CPython and MicroPython:
#
#     python3 device/examples/linux_gateway.py [HOST [HTTP_PORT [FTP_PORT]]]
#
# The devices are created afresh in the folder "gateway" of the current directory.
import os
import sys

EXAMPLES = "/".join(__file__.split("/")[:-1]) or "."
sys.path.insert(0, EXAMPLES + "/..")

import ota_recovery  # noqa: E402
from OTA import FTPOTA, WiFiOTA  # noqa: E402
from ota_linux import LinuxBoard  # noqa: E402

SAMPLE_RELEASE = EXAMPLES + "/../../releases/1.0.0"
FOLDER = "gateway"
IS_FOLDER = 0x4000


class Reset(BaseException):
    """Stands for the device's reset; the next boot follows."""


def reset():
    """Stand in for the board's reset."""
    raise Reset


def progress(done_bytes, total_bytes, what):
    """Print the progress of a download."""
    print("    {:6} of {} bytes  {}".format(done_bytes, total_bytes, what))


def log(message):
    """Print a message of the library."""
    print("   ", message)


def copy_tree(source, target):
    """Copy a folder to a new one."""
    os.mkdir(target)
    for name in os.listdir(source):
        if os.stat(source + "/" + name)[0] & IS_FOLDER:
            copy_tree(source + "/" + name, target + "/" + name)
        else:
            with open(source + "/" + name, "rb") as old, open(target + "/" + name, "wb") as new:
                new.write(old.read())


def remove_tree(folder):
    """Remove a folder and everything in it."""
    for name in os.listdir(folder):
        if os.stat(folder + "/" + name)[0] & IS_FOLDER:
            remove_tree(folder + "/" + name)
        else:
            os.remove(folder + "/" + name)
    os.rmdir(folder)


class Device:
    """A device in a folder, with release 1.0.0 installed.

    Args:
        folder: to create.
        transport: WiFiOTA or FTPOTA.
        host, port: of the server.
    """

    def __init__(self, folder, transport, host, port):
        self.folder = folder
        self.transport = transport
        self.server = (host, port)
        copy_tree(SAMPLE_RELEASE, folder)
        with open(folder + "/flash/OTA_VERSION.py", "w") as record:
            record.write("VERSION = '1.0.0'\n")

    def boot(self, application):
        """Boot: run recovery as boot.py does, then the application, until it ends or resets.

        Args:
            application: function of an OTA.
        """
        board = LinuxBoard(self.folder, reset)
        try:
            ota_recovery.recover(board, log)
            host, port = self.server
            application(
                self.transport(
                    "ssid", "password", host, port, board=board, log=log, progress=progress
                )
            )
        except Reset:
            log("reset")

    def show(self, ota):
        """Print the installed versions and the running slot."""
        log("now at {} in {}".format(ota.versions(), ota.board.running_slot()))


def main(host="127.0.0.1", http_port="8000", ftp_port="2121"):
    """Update one device over HTTP and one over FTP."""
    if FOLDER in os.listdir("."):
        remove_tree(FOLDER)
    os.mkdir(FOLDER)

    print("1.0.0 to 1.0.1 over HTTP, and the application confirms:")
    device = Device(FOLDER + "/http", WiFiOTA, host, int(http_port))
    device.boot(device.show)
    device.boot(WiFiOTA.update)
    device.boot(WiFiOTA.confirm)
    device.boot(device.show)

    print("1.0.0 to 1.0.1 over FTP, and the application never confirms:")
    device = Device(FOLDER + "/ftp", FTPOTA, host, int(ftp_port))
    device.boot(FTPOTA.update)
    for _ in range(3):
        device.boot(device.show)
    print("the fourth boot goes back:")
    for _ in range(3):
        device.boot(device.show)


main(*sys.argv[1:])
