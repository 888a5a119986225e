"""The index of a large registry."""

import numpy as np
import pytest

from cmd_speaker.registry.shortlist import Shortlist


def test_the_recall_of_the_index_is_that_of_recordings_that_vary_as_speakers_do():
    """Direction k varies by exp(-k / 40). With noise in all directions alike, 93 % would be called 99 %."""
    pytest.importorskip("faiss")
    rng, spread = np.random.default_rng(0), np.exp(-np.arange(128) / 40)

    def units(count):
        drawn = rng.standard_normal((count, 128)) * spread
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    averages = units(20_000)
    shortlist = Shortlist(averages)
    queries = 0.6 * averages[:400] + 0.8 * units(400)
    nearest = np.argmax(queries @ averages.T, axis=1)
    found = [place in shortlist.nearest(query[None]) for place, query in zip(nearest, queries, strict=True)]
    assert shortlist.recall > 0.98
    assert np.mean(found) > shortlist.recall - 0.02
