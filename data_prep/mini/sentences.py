"""English sentences for the voices to read, drawn from a small grammar."""

from __future__ import annotations

import numpy as np

WHO = (
    "the old farmer", "my younger sister", "a tired soldier", "the village doctor", "our new neighbour",
    "the judge", "every passenger", "a famous painter", "the shy boy next door", "their grandmother",
    "the ship's cook", "a group of children", "the chief engineer", "his best friend",
    "the woman in the blue coat", "a young thief", "nobody", "the whole orchestra", "the busy waiter",
    "an honest merchant",
)  # fmt: skip
DOES = (
    "carried", "forgot", "measured", "painted", "repaired", "noticed", "borrowed", "dropped", "admired",
    "counted", "chose", "pushed", "watched", "described", "threw away", "looked for", "brought back",
    "joined", "would share", "should have kept", "never touched", "wants to sell", "has cleaned",
    "could not find",
)  # fmt: skip
WHAT = (
    "nine green bottles", "the broken clock", "a heavy wooden chair", "fresh bread and cheese",
    "the wrong key", "an orange umbrella", "several photographs", "the garden fence",
    "a bowl of onion soup", "the last ticket", "two yellow envelopes", "a joyful little song",
    "the measuring tape", "the king's treasure", "a leather jacket", "some very sharp knives",
    "the church bells", "a cage with three birds", "the valley map", "her silver watch",
)  # fmt: skip
WHERE = (
    "at the market", "behind the school", "near the river", "on the kitchen table",
    "in the north of the country", "under the stairs", "along the beach", "outside the theatre",
    "by the window", "in the judge's office", "between the two bridges", "on board the ferry",
    "at the top of the hill", "in a thick fog",
)  # fmt: skip
WHEN = (
    "this morning", "before sunrise", "after the show", "last February", "every other Thursday",
    "in the evening", "for the first time", "without a word", "while it was raining", "just in time",
    "twice a week", "as usual",
)  # fmt: skip


def draw_sentence(rng: np.random.Generator) -> str:
    """Who did what, where and when: one of 1.6 million sentences, some 3 seconds long when spoken."""
    words = " ".join(str(rng.choice(part)) for part in (WHO, DOES, WHAT, WHERE, WHEN))
    return f"{words[0].upper()}{words[1:]}."
