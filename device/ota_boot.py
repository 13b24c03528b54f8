"""Called by boot.py. This file stays the same from release to release.

No power cut can therefore leave it half written, even on FAT, which can't replace a
file atomically. The recovery code may change: the update then keeps a copy of the old
one, ota_prev, until the trial is over.
"""


def run(**options):
    """Finish or roll back an interrupted update; return the state, or "failed".

    Never raises: after an exception in boot.py some ports don't start main.py.

    Args:
        options: keyword arguments of ota_recovery.recover.
    """
    log = options.get("log") or (lambda message: None)
    for name in ("ota_recovery", "ota_prev"):
        try:
            return __import__(name).recover(**options)
        except Exception as error:
            log("update: {}: {}".format(name, repr(error)))
    return "failed"
