"""`python -m cmd_speaker.export.sherpa_client MODEL.onnx WAVEFORMS.npy EMBEDDINGS.npy`: run sherpa-onnx.

It ends its process, with an exit code that no program can catch, where it does not like a model.
"""

from __future__ import annotations

import sys

import numpy as np

from cmd_speaker.audio import SAMPLE_RATE


def main(model: str, waveforms: str, embeddings: str) -> None:
    """Embed waveforms [batch, samples] at 16 kHz one after the other; write float32 [batch, D]."""
    from sherpa_onnx import SpeakerEmbeddingExtractor, SpeakerEmbeddingExtractorConfig

    extractor = SpeakerEmbeddingExtractor(SpeakerEmbeddingExtractorConfig(model=model))
    found = []
    for samples in np.load(waveforms):
        stream = extractor.create_stream()
        stream.accept_waveform(SAMPLE_RATE, samples)
        stream.input_finished()
        found.append(extractor.compute(stream))
    np.save(embeddings, np.array(found, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
