"""Short utterances of one session joined to longer ones, in files of their own.

CN-Celeb's utterances are often of a second or two, too short to be trained on alone; it is usual to join them
until they last five seconds.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from cmd_speaker.audio import SAMPLE_RATE, AudioInfo
from cmd_speaker.corpora.cnceleb_lists import Recording
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.headers import read_header
from cmd_speaker.progress import track


@dataclass(frozen=True)
class Clip:
    """What becomes one row of a manifest: a recording, or several of one session one after the other.

    `samples` is the length of each; `path` is that of the file, which for several has yet to be written.
    """

    members: Sequence[Recording]
    samples: Sequence[int]
    path: Path
...
