"""What the browser may do on each kind of page: nothing, and then only what that page uses."""

from __future__ import annotations

_CLOSED = "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"

# Fetching goes to our own address and to the one where an age broker says that it is there; the box
# is the only frame. `{kept}` names the script of a kept box by its digest.
_PAGE = (
    "default-src 'none'; script-src 'self' {kept}; style-src 'self'; img-src 'self'; "
    "connect-src {reached}; frame-src 'self'; manifest-src 'self'; worker-src 'self'; "
    f"frame-ancestors 'none'; trusted-types offline; {_CLOSED}"
)

# The photo is opened in here, so no address can be reached from in here. `sandbox` holds even
# where somebody opens the box without our page around it.
BOX = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'none'; "
    "media-src blob:; worker-src 'none'; frame-ancestors 'self'; sandbox allow-scripts; "
    f"trusted-types 'none'; {_CLOSED}"
)

# What a kept box says of itself, on top of what it inherits from the page around it.
KEPT_BOX = (
    "default-src 'none'; script-src {kept}; connect-src 'none'; media-src blob:; "
    f"worker-src 'none'; trusted-types 'none'; {_CLOSED}"
)

# A worker that serves kept pages may fetch from us, and nothing else.
OFFLINE = "default-src 'none'; connect-src 'self'"

_OFF = (
    "accelerometer",
    "autoplay",
    "browsing-topics",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
_FEATURES_OFF = ", ".join(f"{feature}=()" for feature in _OFF)


def page_headers(kept: str, broker_answers: str | None = None) -> dict[str, str]:
    """Of a page; `kept` is the source expression of the kept box's script, `broker_answers` the one
    address elsewhere that it may ask, if any."""
    reached = f"'self' {broker_answers or ''}".rstrip()
    return {
        "Content-Security-Policy": _PAGE.format(kept=kept, reached=reached),
        "Cross-Origin-Embedder-Policy": "require-corp",
        # Only so that the case code can be copied with one press.
        "Permissions-Policy": f"{_FEATURES_OFF}, clipboard-read=(), clipboard-write=(self)",
    }


BOX_HEADERS = {
    "Content-Security-Policy": BOX,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": f"{_FEATURES_OFF}, clipboard-read=(), clipboard-write=()",
}
# The box has no origin of its own, so it asks for our files as a stranger would.
FILE_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
