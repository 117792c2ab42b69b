"""A stored response taken out of its store as a file, and run again from that file alone."""

from callboard.replay.export import export
from callboard.replay.recording import Recording, decode_recording, encode_recording, record_response
from callboard.replay.rerun import Divergence, rerun

__all__ = [
    "Divergence",
    "Recording",
    "decode_recording",
    "encode_recording",
    "export",
    "record_response",
    "rerun",
]
