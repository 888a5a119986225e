"""The speech synthesiser espeak-ng, in a process of its own: a JSON request in, samples out.

    python synthesiser.py < REQUEST > SAMPLES

REQUEST: {"language": "en-us", "variant": "f3", "sentences": [{"text", "pitch", "rate", "range"}, ...]},
pitch and range 0 to 99, rate in words a minute. SAMPLES: for each sentence its number of samples (uint32),
then the samples (int16), at `SAMPLE_RATE`, all in the machine's byte order. Needs nothing but
`espeakng-loader`, which brings library and voices (GPL-3: this file is run, never imported).

espeak-ng carries state from one sentence to the next, so only a new process with a fixed seed says the same
sentences in the same bits.
"""

import ctypes
import json
import os
import struct
import sys

import espeakng_loader

SAMPLE_RATE = 22050
SYNCHRONOUS, DONT_EXIT, UTF8 = 2, 0x8000, 1
RATE, PITCH, RANGE = 1, 3, 4
"""Names and values of espeak-ng's speak_lib.h."""
LONGEST_PATH = 120
"""In bytes: espeak-ng does not start where its data lie deep, for it has 160 for a path with a file's name."""


def main() -> None:
    """Answer the request on standard input; ends with exit code 1 and a reason where espeak-ng cannot."""
    request = json.load(sys.stdin)
    data = espeakng_loader.get_data_path()
    if len(os.fsencode(data)) <= LONGEST_PATH:
        return speak(request, os.fsencode(data))
    import tempfile  # here, because it is slow to load and seldom needed

    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "espeak-ng-data")
        os.symlink(data, link)
        speak(request, os.fsencode(link))


def speak(request: dict, data: bytes) -> None:
    """Write what REQUEST asks for, with espeak-ng's data in the folder `data`."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    if library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT) != SAMPLE_RATE:
        sys.exit(f"espeak-ng cannot be started with its data in {os.fsdecode(data)}")
    voice = f"{request['language']}+{request['variant']}"
    # Asked for a variant that it lacks, espeak-ng speaks in its default voice.
    known = os.listdir(os.path.join(os.fsdecode(data), "voices", "!v"))
    if request["variant"] not in known:
        sys.exit(f"espeak-ng has no voice variant '{request['variant']}'")
    chunks: list[bytes] = []

    def receive(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(receive)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    for sentence in request["sentences"]:
        # The voice sets pitch and range, so it comes first.
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            sys.exit(f"espeak-ng has no voice '{voice}'")
        for parameter, name in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "range")):
            library.espeak_SetParameter(parameter, sentence[name], 0)
        text = sentence["text"].encode() + b"\0"
        size = ctypes.c_size_t(len(text))
        if library.espeak_Synth(text, size, 0, 1, 0, UTF8, None, None) != 0:
            sys.exit(f"espeak-ng cannot say '{sentence['text']}'")
        samples = b"".join(chunks)
        chunks.clear()
        sys.stdout.buffer.write(struct.pack("=I", len(samples) // 2) + samples)


if __name__ == "__main__":
    main()
