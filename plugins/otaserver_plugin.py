"""Makes ``twistd otaserver`` known to Twisted."""

from twisted.application.service import ServiceMaker

# The module is named, not imported: listing the plugins stays cheap.
otaserver = ServiceMaker(
    "otaserver",
    "otaserver.tap",
    "Over-the-air updates for MicroPython devices from one folder of releases.",
    "otaserver",
)
