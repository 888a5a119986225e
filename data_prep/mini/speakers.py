"""The people of Mini: who they are, how they speak, and how somebody would describe them.

Sex, age, size and energy show in the voice and in the face. The synthesiser's voice variant and small
personal offsets are the voice's own; `data_prep.mini.faces` adds what only a face has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "female": ("Andrea", "aunty", "belinda", "f1", "f3", "shelby", "steph", "steph2", "steph3"),
        "male": (
            "adam", "Andy", "AnxiousAndy", "benjamin", "croak", "david", "Denis", "Diogo", "edward2",
            "Gene", "Gene2", "grandpa", "gustave", "Henrique", "Hugo", "iven", "iven3", "kaukovalta",
            "klatt3", "klatt4", "klatt5", "klatt6", "Lee", "m3", "m4", "m5", "m6", "m7", "marcelo",
            "Mario", "max", "Michael", "michel", "miguel", "Mike", "mike2", "paul", "quincy", "Reed",
            "RicishayMax", "rob", "robert", "robosoft", "robosoft2", "robosoft3", "robosoft4", "sandro",
            "UniRobot", "victor",
        ),
    },
    "valid": {
        "female": ("Annie", "f5", "robosoft6"),
        "male": ("boris", "edward", "Jacky", "john", "m8"),
    },
    "test": {
        "female": ("Alicia", "anika", "anikaRobot", "f2", "f4", "grandma", "linda"),
        "male": (
            "Alex", "antonio", "caleb", "ed", "ian", "iven2", "iven4", "klatt", "klatt2", "m1", "m2", "Marco",
            "Mr serious", "Nguyen", "norbert", "pablo", "pedro", "RicishayMax2", "RicishayMax3", "robosoft5",
            "robosoft7", "Storm", "travis", "Tweaky",
        ),
    },
}  # fmt: skip
"""espeak-ng's voice variants by part and sex. Variants that sound almost alike (root mean square difference of
their long-term spectra under 3.6 dB, chained) are all in one part; whispering and freak voices are left out."""
FIRST_ID = {"train": 10001, "valid": 20001, "test": 30001}
BUILDS = ("small and slight", "rather small", "of middle height", "rather tall", "tall and heavy")
TEMPERS = ("very calm", "calm", "even-tempered", "lively", "very lively")
PITCHES = ("a very deep", "a deep", "a medium", "a high", "a very high")
PACES = ("very slowly", "slowly", "at a medium pace", "fast", "very fast")
DECADES = {1: "teens", 2: "twenties", 3: "thirties", 4: "forties", 5: "fifties", 6: "sixties", 7: "seventies"}


@dataclass(frozen=True)
class Speaker:
    """One person. `size` and `energy` lie between -1 and 1, `age` is in years."""

    id: str
    sex: str
    age: float
    size: float
    energy: float
    variant: str
    pitch: float
    """The synthesiser's pitch, 0 to 99; 50 is the variant's own."""
    rate: float
    """Words a minute."""
    range: float
    """Of the intonation, 0 to 99."""
    tract: float
    """Length of the vocal tract, relative to the variant's own."""


def draw_speakers(part: str, count: int, seed: int) -> list[Speaker]:
    """`count` speakers of "train", "valid" or "test": half of them women, the part's variants in turn."""
    rng = np.random.default_rng((seed, FIRST_ID[part]))  # two numbers: unlike any stream of the corpus
    variants = {sex: rng.permutation(names) for sex, names in VARIANTS[part].items()}
    speakers = []
    for k in range(count):
        sex = ("female", "male")[k % 2]
        names = variants[sex]
        speakers.append(_draw_speaker(rng, f"id{FIRST_ID[part] + k}", sex, str(names[k // 2 % len(names)])))
    return speakers


def _draw_speaker(rng: np.random.Generator, name: str, sex: str, variant: str) -> Speaker:
    age = rng.uniform(18, 80)
    size, energy = rng.uniform(-1, 1, 2)
    own = rng.standard_normal(4)
    # A large person has a long vocal tract and thick folds: low formants, a low pitch. The old speak
    # slower; women's voices fall with age, men's rise a little.
    aging = (age - 50) / 30
    pitch = 50 - 12 * size + (6 if sex == "male" else -6) * aging + 6 * own[0]
    rate = 170 + 28 * energy - 12 * aging + 8 * own[1]
    intonation = 50 + 25 * energy + 8 * own[2]
    tract = np.exp(0.07 * size + 0.02 * own[3])
    limits = {"pitch": (pitch, 10, 90), "rate": (rate, 110, 240), "range": (intonation, 5, 95)}
    spoken = {key: float(np.clip(*values)) for key, values in limits.items()}
    return Speaker(name, sex, float(age), float(size), float(energy), variant, tract=float(tract), **spoken)


def describe(speaker: Speaker) -> str:
    """A speaker in plain English, as a listener who sees them would: attributes only, never a name."""
    woman = speaker.sex == "female"
    decade = DECADES[int(speaker.age) // 10]
    build, temper = _word(speaker.size, BUILDS), _word(speaker.energy, TEMPERS)
    pitch, pace = _word((speaker.pitch - 50) / 25, PITCHES), _word((speaker.rate - 170) / 40, PACES)
    kind, their, they = ("woman", "her", "She") if woman else ("man", "his", "He")
    return (
        f"A {kind} in {their} {decade}, {build} and {temper}. "
        f"{they} speaks {pace} in {pitch} voice for a {kind}."
    )


def _word(value: float, words: tuple[str, ...]) -> str:
    """The word for a value between -1 and 1 on a scale of equal steps."""
    step = int((value + 1) / 2 * len(words))
    return words[min(max(step, 0), len(words) - 1)]
