"""`Encoded`: content as the bytes of a codec, with the headers that say how to decode them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

CONTENT_TYPE, CONTENT_ENCODING = "telex-content-type", "telex-content-encoding"
"""The headers of a message whose content was encoded by a codec. No program can set them."""
JSON, BYTES = "application/json", "application/octet-stream"
"""The content types of content that is stored without a codec."""


class Encoded(bytes):
    """Content as bytes of the content type ``content_type``, to which the transforms of ``content_encoding`` were
    applied (``"zlib, jwe; key=2026-11"``, in the order of their application; empty for none).
    """

    content_type: str
    content_encoding: str

    def __new__(cls, data: bytes, content_type: str, content_encoding: str = "") -> Self:
        encoded = super().__new__(cls, data)
        encoded.content_type = content_type
        encoded.content_encoding = content_encoding
        return encoded

    def headers(self, others: dict[str, str] | None) -> dict[str, str]:
        """Return the ``others`` with the headers that describe these bytes."""
        own = {CONTENT_TYPE: self.content_type}
        if self.content_encoding:
            own[CONTENT_ENCODING] = self.content_encoding
        return (unreserved(others) or {}) | own


def encoded_of(data: bytes, headers: Mapping[str, str] | None) -> bytes:
    """Return stored bytes as `Encoded` if the headers of their message name a content type, else unchanged."""
    if not headers or CONTENT_TYPE not in headers:
        return data
    return Encoded(data, headers[CONTENT_TYPE], headers.get(CONTENT_ENCODING, ""))


def unreserved(headers: dict[str, str] | None) -> dict[str, str] | None:
    """Return headers without those that describe content, which belong to the message that had them first."""
    if headers is None or (CONTENT_TYPE not in headers and CONTENT_ENCODING not in headers):
        return headers
    return {name: value for name, value in headers.items() if name not in (CONTENT_TYPE, CONTENT_ENCODING)} or None
