"""The plugin that provides ``twistd otaserver``."""

from twisted.application.service import ServiceMaker

# The module is named rather than imported, so that listing plugins stays fast.
otaserver = ServiceMaker(
    "otaserver",
    "otaserver.tap",
    "Over-the-air updates for MicroPython devices, from a folder of releases.",
    "otaserver",
)
