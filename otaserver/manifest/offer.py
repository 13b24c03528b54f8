"""The decision before the manifest: what one device is offered now, or why nothing.

Whatever may hold an update back belongs here: the order of versions today. It is a
pure function of the tree and of what the device says about its versions.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple, TypeVar

from otaserver.catalogue.model import Firmware, Release, ReleaseTree
from otaserver.catalogue.versions import Rank
from otaserver.manifest.update_request import UpdateRequest

_V = TypeVar("_V", Release, Firmware)


class NoOffer(Enum):
    """Why a device is offered nothing."""

    EMPTY = "Nothing is offered here."
    UP_TO_DATE = "The device has the newest version."
    AHEAD = "The device has a newer version than any that is offered here."
    NO_WAY = "The device can take none of the newer releases from the one that it has."


class OfferKey(NamedTuple):
    """What tells two offers from one tree apart: all that their manifests depend on.

    Attributes:
        release, firmware: the versions offered.
        base: the version on disk that the difference starts from.
        is_repair: see `Offer`.
        previous_version: the version that the device said it has.
    """

    release: str | None
    firmware: str | None
    base: str | None
    is_repair: bool
    previous_version: str | None


@dataclass(frozen=True)
class Offer:
    """What one device is offered; all devices with an equal `key` get the same.

    Attributes:
        previous_version: the version that the device said it has.
        release: the release to install; None for none.
        base: the release that the device has, if the tree knows it.
        is_repair: whether the device has another content of the base than there is now,
            so that it may differ in any file.
        firmware: the firmware to flash; None for none.
        reason: why there is neither; None if there is something.
    """

    previous_version: str | None
    release: Release | None = None
    base: Release | None = None
    is_repair: bool = False
    firmware: Firmware | None = None
    reason: NoOffer | None = None

    @cached_property
    def key(self) -> OfferKey:
        """What tells this offer from others of the same tree."""
        return OfferKey(
            self.release.version if self.release is not None else None,
            self.firmware.version if self.firmware is not None else None,
            self.base.version if self.base is not None else None,
            self.is_repair,
            self.previous_version,
        )


def offer(tree: ReleaseTree, request: UpdateRequest) -> Offer:
    """Choose what a device gets.

    Files and firmware are chosen independently: each the newest, if that is above
    what the device has. A device that can't take the newest release in one step gets a
    lower one that it can take. One that has another content of its version than there
    is now gets the present one, if there is nothing newer.

    Args:
        tree: the versions that there are.
        request: what the device says about itself.

    Returns:
        The offer, or the reason why there is none.
    """
    current = request.current_ver
    own = tree.release(current) if current is not None else None
    release = _if_above(tree.newest_release, request.rank)
    if release is not None and own is not None:
        release = tree.steps.get(own.version, release)
    is_repair = own is not None and request.release not in (None, own.content_id)
    if release is None and is_repair and own is not None and not own.problems:
        release = own
    firmware = _if_above(tree.newest_firmware, request.firmware_rank)
    if release is None and firmware is None:
        return Offer(current, reason=_reason(tree, request, own))
    if release is None:
        return Offer(current, firmware=firmware)
    return Offer(current, release, own, is_repair, firmware)


def _if_above(newest: _V | None, rank: Rank | None) -> _V | None:
    """The newest, unless the device has it already, or something newer still."""
    if newest is None or rank is None or newest.rank > rank:
        return newest
    return None


def _reason(tree: ReleaseTree, request: UpdateRequest, own: Release | None) -> NoOffer:
    if own is not None and own.version in tree.steps:
        return NoOffer.NO_WAY
    pairs = (
        (tree.newest_release, request.rank),
        (tree.newest_firmware, request.firmware_rank),
    )
    offered = [(newest.rank, rank) for newest, rank in pairs if newest is not None]
    if not offered:
        return NoOffer.EMPTY
    is_ahead = any(rank is not None and rank > newest for newest, rank in offered)
    return NoOffer.AHEAD if is_ahead else NoOffer.UP_TO_DATE
