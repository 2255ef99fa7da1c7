"""Content at the boundary of a process: checked when it is published, encoded by a codec, and decoded."""

from telex.codec.content import STANDARD, Content, hold
from telex.codec.encoded import Encoded
from telex.codec.formats import Codec, MessagePack, Transform

__all__ = ["STANDARD", "Codec", "Content", "Encoded", "MessagePack", "Transform", "hold"]
