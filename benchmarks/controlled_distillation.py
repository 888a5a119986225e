"""Does a soft constraint help where it should? A teacher whose knowledge is known, on real speech.

    python benchmarks/controlled_distillation.py --data_folder CORPUS --librispeech MINI --out DIR [--jobs 2]

The student hears `UTTERANCES` utterances of each training speaker of speechocean762. Its teacher is an
oracle: an encoder that was trained on other recordings of these speakers (narrow) and on 261 readers of
LibriSpeech too (wide), and embeds the former; each is one teacher input, with the speaker's real gender and
age added. That is what speech shares with the teacher. The rest is private: a random direction of each
speaker, which no speech can tell. `shared` is the share of the first in the squared length. A share of the
inputs is corrupted: the recording under 0 dB of noise before the oracle hears it. Their quality is measured
on the input as it is; `intact`, which says what was done, serves the upper bound only.

Two studies (`cmd-speaker study`), in DIR/questions and DIR/forms. The paper's questions, and more:

    margin     does the hard constraint overfit, and does a margin beat both ends and audio only?
    weight     how hard must the teacher pull?
    knowledge  how does that depend on what the teacher shares with speech, and on how many voices it knows?
    head       does it matter whether stage 1 centres the teacher's embeddings, or fits a head?
    quality    do quality weights recover what corrupted inputs cost?

Nothing is chosen there: every configuration meets the test list once a seed. In `forms`, where half of the
inputs are corrupted, every form of constraint is screened on the validation speakers (one seed, 30 epochs), the
soft ones also with quality weights, and the best four meet the test list.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml
from controlled_teacher import RECIPE, Inputs, make_recordings

from cmd_speaker.study.reader import load_study
from cmd_speaker.study.runner import failures_error
from cmd_speaker.study.study import conduct

UTTERANCES = 2
"""Of each speaker that the student hears."""
BASELINE = "audio_only"
STUDENT: dict[str, Any] = {
    "text_teacher": 0, "vector_teacher": 1, "teacher_head": "none",
    "number_of_epochs": 100, "validation_interval": 100, "width": 64,
}  # fmt: skip
MARGINS = [0, 0.6, 0.8, 1.0, 1.2]
SOFT = 0.8
"""The margin where only one is tried: unit vectors of which half is shared are 0.77 apart."""
WEIGHT = 30
"""Of the feature loss; the identity loss has the scale 30."""
OTHER_WEIGHT = 3
OTHER_SHARES = (1.0, 0.0)
QUALITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "weighed by norm": ("norm", {}),
    "weighed by snr": ("snr", {"slope": 3}),
    "oracle weights": ("intact", {"offset": 0, "slope": 2, "standardise": False}),
}
"""Name -> column of the bank, and how the weight follows from it.

The mean weight is about 1 in each, so that the teacher pulls as hard as without weights. Intact inputs weigh
about 1.9 by SNR at slope 3 (1.3 at slope 1), and 2 by the oracle, the upper bound.
"""
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]]]] = {
    "feature": ("feature", {"distance": "l2"}, {"margin": [0, SOFT, "auto"], "weight": [WEIGHT]}),
    "squared_l2": ("feature", {"distance": "squared_l2"}, {"margin": [0, 0.64], "weight": [WEIGHT]}),
    "cosine": ("feature", {"distance": "cosine"}, {"margin": [0, 0.32], "weight": [WEIGHT]}),
    "angle": ("angle", {}, {"margin": [0, 0.1], "weight": [100]}),
    "pair_distance": ("pair_distance", {}, {"margin": [0, 0.1], "weight": [100]}),
    "teacher_classifier": ("teacher_classifier", {}, {"weight": [1, 10]}),
    "response": ("response", {}, {"margin": [0, 0.5], "weight": [3]}),
    "prototype": ("prototype", {}, {"margin": [0, SOFT], "weight": [WEIGHT]}),
    "contrast": ("contrast", {}, {"weight": [0.3, 3]}),
}
"""Name -> term, its own arguments, and what is tried."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--librispeech", type=Path, required=True, help="librispeech_mini")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    corpus, out = options.data_folder.resolve(), options.out.resolve()
    recordings = make_recordings(corpus, options.librispeech.resolve(), out)
    attributes = out / "manifests" / "speakers.csv"
    wide, narrow = (
        Inputs(recordings[name], attributes, out / "inputs" / name) for name in ("wide", "narrow")
    )
    for name in options.study:
        study = {
            "title": f"controlled distillation on speechocean762: {name}",
            "recipe": str(RECIPE),
            "set": {**STUDENT, "data_folder": str(corpus)},
            "seeds": options.seeds,
            "baseline": BASELINE,
            "conditions": {f"{UTTERANCES} utterances each": {"utterances_per_speaker": UTTERANCES}},
            **STUDIES[name](wide, narrow),
        }
        path = out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        conducted = conduct(load_study(path), out / name, options.jobs)
        for written in conducted.written:
            print(written)
        if failures := conducted.findings.outcome.failures:
            raise failures_error(failures, len(failures) + len(conducted.findings.results))


def feature(
    margin: float | list[float], keys: dict[str, str], weight: float = WEIGHT, **more: Any
) -> dict[str, Any]:
    """A student under the feature loss and the teacher of `keys`, with one margin or each of several."""
    margins = {"grid": {"margin": margin}} if isinstance(margin, list) else {"margin": margin}
    return {"feature_weight": weight, **keys, **more, **margins}


def questions(wide: Inputs, narrow: Inputs) -> dict[str, Any]:
    """What a study of the questions has of its own; one question after the other."""
    half, damaged, ends = wide.keys(0.5), wide.keys(0.5, corrupted=0.5), [0, SOFT]
    found = {BASELINE: {"feature_weight": 0}, "half shared": feature(MARGINS, half)}
    found[f"weight {OTHER_WEIGHT}"] = feature(ends, half, OTHER_WEIGHT)
    found |= {f"{share:.0%} shared": feature(ends, wide.keys(share)) for share in OTHER_SHARES}
    found["narrow oracle"] = feature(ends, narrow.keys(0.5))
    found |= {f"{head} head": feature([0], half, teacher_head=head) for head in ("centred", "residual")}
    found["half corrupted"] = feature(ends, damaged)
    for name, (source, more) in QUALITIES.items():
        weighed: dict[str, Any] = {"speech_quality": "none", "vector_quality": source, "quality": more}
        found[f"half corrupted, {name}"] = feature(SOFT, damaged, quality_weights=True, **weighed)
    hard, soft, softest = (f"half shared margin={margin}" for margin in (0, SOFT, MARGINS[-1]))
    corrupted = f"half corrupted margin={SOFT}"
    pairs = [[hard, soft], [hard, softest], [soft, corrupted]]
    pairs += [[corrupted, f"half corrupted, {name}"] for name in QUALITIES]
    return {"configurations": found, "controls": [hard, soft, softest], "pairs": pairs}


def forms(wide: Inputs, _: Inputs) -> dict[str, Any]:
    """What a study of all forms of constraint has of its own."""
    damaged = wide.keys(0.5, corrupted=0.5)
    weighed = {
        "quality_weights": True,
        "speech_quality": "none",
        "vector_quality": "snr",
        "quality": {"slope": 3},
    }
    found: dict[str, Any] = {BASELINE: {"feature_weight": 0}}
    for name, (term, arguments, tried) in FORMS.items():
        form = {**damaged, "terms": {"feature": {"weight": 0}, term: arguments}}
        # Weighed is the soft form only: what is hard stands beside it, unweighed.
        soft = {key: [value for value in values if value] for key, values in tried.items()}
        found[name] = {**form, "grid": _of_term(term, tried)}
        found[f"weighed {name}"] = {**form, **weighed, "grid": _of_term(term, soft)}
    return {
        "configurations": found,
        "screen": {"seeds": [1], "set": {"number_of_epochs": 30, "validation_interval": 30}},
        "final": {"best": 4, "always": [f"feature margin=0 weight={WEIGHT}"]},
    }


def _of_term(term: str, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {f"terms.{term}.{key}": each for key, each in values.items()}


STUDIES = {"questions": questions, "forms": forms}

if __name__ == "__main__":
    main()
