"""The names of quality: what each stands for, and whether more of it is better.

A column of a manifest or bank may have any name, and more counts as better; these are known.
"""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """What a name stands for. `sign` is -1 where a higher value is worse."""

    what: str
    unit: str
    sign: int = 1


NORM = "norm"
NONE = "none"
SOURCES = {
    NORM: Source("norm of the embedding before it is normalised", ""),
    NONE: Source("nothing: 0 for every sample", ""),
    "snr": Source("speech above its noise floor, mean of the bands", "dB"),
    "clipping": Source("share of the samples at the extremes of the recording's range", "", -1),
    "level": Source("mean power of the recording", "dBFS"),
    "speech_seconds": Source("speech that stands out of the noise", "s"),
    "duration": Source("length of the whole recording, as the manifest says", "s"),
    "face_sharpness": Source("variance of the Laplacian over the picture's variance", "dB"),
    "face_size": Source("shorter side of the picture", "pixels"),
    "detector_probability": Source("how sure a face detector was; filled by a preparation that has one", ""),
    "text_words": Source("length of the teacher's text", "words"),
}


def sign_of(name: str) -> int:
    """-1 where a higher value of this source is worse, else 1."""
    return SOURCES[name].sign if name in SOURCES else 1
