"""Called by boot.py. This file stays the same from release to release.

So no power cut ever finds it half replaced, also on FAT, which can't replace a
file in one step. The recovery code itself may change: then the update keeps a
copy of the old one, ota_saved, until the new one has proved itself.
"""


def run(log=None):
    """Finish or undo what an update left; see ota_recovery.recover."""
    try:
        from ota_recovery import recover

        return recover(log=log)
    except Exception:
        from ota_saved import recover

        return recover(log=log)
