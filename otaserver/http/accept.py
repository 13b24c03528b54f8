"""Finding out whether a client would rather have a page than a plain sentence."""

import re

# The value of "q" (RFC 9110, section 12.4.2).
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?", re.ASCII)


def prefers_html(accept: str | None) -> bool:
    """Find out whether HTML is wanted more than plain text (RFC 9110, section 12.5.1).

    Browsers ask for HTML by name. Devices, curl and the like ask for nothing or for
    anything, and get plain text.

    Args:
        accept: the Accept header; None if there is none.

    Returns:
        Whether to send HTML.
    """
    if accept is None:
        return False
    weights = dict(map(_weighted, accept.split(",")))
    anything = weights.get("*/*", 0.0)
    any_text = weights.get("text/*", anything)
    return weights.get("text/html", any_text) > weights.get("text/plain", any_text)


def _weighted(media_range: str) -> tuple[str, float]:
    """Take one media range apart; a malformed weight counts as none at all."""
    name, *parameters = (part.strip().lower() for part in media_range.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key == "q":
            return name, float(value) if _WEIGHT.fullmatch(value) else 0.0
    return name, 1.0
