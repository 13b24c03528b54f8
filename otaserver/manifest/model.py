"""The manifest: what one device must do to get from its version to the offered one."""

from dataclasses import dataclass

from otaserver.catalogue.model import Firmware
from otaserver.manifest.difference import Difference, FileToInstall, difference
from otaserver.manifest.offer import Offer


@dataclass(frozen=True, slots=True)
class Manifest:
    """The way from one version to another.

    Attributes:
        version: the version that the device has afterwards.
        previous_version: the version that it said it has; None if it said none.
        delete, new, update: see `otaserver.manifest.difference.Difference`; empty
            in a manifest that brings only firmware.
        firmware: the image to flash, if there is one.
        release: the content id of the files that the device has afterwards; None in a
            manifest that brings only firmware.
    """

    version: str
    previous_version: str | None
    delete: tuple[str, ...] = ()
    new: tuple[FileToInstall, ...] = ()
    update: tuple[FileToInstall, ...] = ()
    firmware: Firmware | None = None
    release: str | None = None


def manifest_of(offer: Offer) -> Manifest | None:
    """Work out what a device must do to take an offer.

    Args:
        offer: the offer.

    Returns:
        The manifest; None if there is nothing to do.
    """
    changes = Difference()
    if offer.release is not None:
        changes = difference(offer.base, offer.release, offer.is_repair)
        version = offer.release.version
    elif offer.firmware is not None:
        version = offer.firmware.version
    else:
        return None
    return Manifest(
        version,
        offer.previous_version,
        changes.delete,
        changes.new,
        changes.update,
        offer.firmware,
        offer.release.content_id if offer.release is not None else None,
    )
