"""What a lost connection asks for: a wait, the network once more, and what to skip then."""

from ota_errors import LinkError, ServerError

FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = 60000
BUFFER_BYTES = 256


def wait_to_retry(ota, log, failures, error):
    """Wait and connect again, as often as that fails; see OTA.wait_to_retry.

    Args:
        ota: the OTA that is updating.
        log: called with a message before each wait.
        failures: number of failures in a row so far.
        error: the LinkError that was the last of them.

    Returns the number of failures in a row by now. Raises the last error if there are no
    attempts left.
    """
    while failures < ota.attempts:
        wait_ms = min(FIRST_WAIT_MS << failures, LONGEST_WAIT_MS)
        # Jitter, from half to all of it: a fleet that lost its server must not return at once.
        wait_ms = wait_ms // 2 + wait_ms * ota.board.random_byte() // 512
        log("{}; next attempt in {} ms".format(error, wait_ms))
        ota.board.sleep_ms(max(wait_ms, error.retry_after_s * 1000))
        try:
            ota.connect()
            return failures
        except LinkError as lost:
            error = lost
            failures += 1
    raise error


def skip(body, left, path):
    """Skip what is already stored, where a server begins anew. ServerError if it has less.

    Args:
        body: the stream, which is closed if that fails.
        left: number of bytes.
        path: whose content it is.
    """
    scratch = memoryview(bytearray(BUFFER_BYTES))
    try:
        while left:
            count = body.readinto(scratch[: min(BUFFER_BYTES, left)])
            if not count:
                raise ServerError("{} is shorter than the part received before".format(path))
            left -= count
    except Exception:
        body.close()
        raise
