"""Called by boot.py. This file stays the same from release to release.

So no power cut ever finds it half replaced, also on FAT, which can't replace a
file in one step. The recovery code itself may change: then the update keeps a
copy of the old one, ota_prev, until the new one has proved itself.
"""


def run(**options):
    """Finish or undo what an update left; see ota_recovery.recover. Raises nothing.

    An exception in boot.py would keep some ports from starting main.py.
    """
    log = options.get("log") or (lambda message: None)
    for name in ("ota_recovery", "ota_prev"):
        try:
            return __import__(name).recover(**options)
        except Exception as error:
            log("update: {}: {}".format(name, repr(error)))
    return "failed"
