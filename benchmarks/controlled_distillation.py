"""Does a soft constraint help where it should? A teacher whose knowledge is known, on real speech.

    python benchmarks/controlled_distillation.py --data_folder CORPUS --out DIR [--study forms] [--jobs 2]

The student hears `UTTERANCES` utterances of each training speaker of speechocean762. Its teacher is an oracle: an
encoder that was trained on other recordings of these speakers and embeds those; each is one teacher input, with
the speaker's real gender and age added. That is what speech shares with the teacher. The rest is private: a random
direction of each speaker, which no speech can tell. `shared` is the share of the first in the squared length.
A share of the inputs is corrupted: the recording under 0 dB of noise before the oracle hears it. Their quality is
measured on the input as it is; `intact`, which says what was done, serves the upper bound only.

Two studies (`cmd-speaker study`), in DIR/questions and DIR/forms. The paper's questions, and more:

    margin     does the hard constraint overfit, and does a margin beat both ends and audio only?
    weight     how hard must the teacher pull?
    knowledge  how does that depend on what the teacher shares with speech?
    head       does it matter whether stage 1 centres the teacher's embeddings, or fits a head?
    quality    do quality weights recover what corrupted inputs cost?

Nothing is chosen there: every configuration meets the test list once a seed. In `forms`, where half of the
inputs are corrupted, every form of constraint is screened on the validation speakers, with and without quality
weights, and the best four meet the test list.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import load_file, save_file

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.files import file_checksum, json_checksum
from cmd_speaker.manifest import Manifest, load_manifest
from cmd_speaker.model import SpeakerModel, read_utterance
from cmd_speaker.progress import track
from cmd_speaker.quality.damage import add_noise
from cmd_speaker.quality.speech import snr
from cmd_speaker.results import evaluate_student
from cmd_speaker.study.reader import load_study
from cmd_speaker.study.runner import failures_error
from cmd_speaker.study.study import conduct
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.subset import training_subset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RECIPE = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
OWN_KEYS = {"data_folder", "validation_speakers", "training_speakers", "utterances_per_speaker", "test"}
UTTERANCES, HELD_BACK = 2, 5
"""Of each speaker: what the student hears, and what the oracle never heard."""
NOISE_DB = 0.0
ATTRIBUTE = 0.3
"""Length of gender and of age (in standard deviations) beside the oracle's embedding, which has length 1."""
SEED = 0
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
OTHER_WEIGHTS = (3, 300)
OTHER_SHARES = (1.0, 0.25, 0.0)
QUALITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "weighed by norm": ("norm", {}),
    "weighed by snr": ("snr", {}),
    "weighed by snr, slope 3": ("snr", {"slope": 3}),
    "oracle weights": ("intact", {"offset": 0, "slope": 2, "standardise": False}),
}
"""Name -> column of the bank, and how the weight follows from it.

The mean weight is about 1 in each, so that the teacher pulls as hard as without weights. Intact inputs weigh
about 1.3 by SNR, 1.9 at slope 3, and 2 by the oracle, the upper bound.
"""
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]]]] = {
    "feature": ("feature", {"distance": "l2"}, {"margin": [0, SOFT, "auto"], "weight": [WEIGHT]}),
    "squared_l2": ("feature", {"distance": "squared_l2"}, {"margin": [0, 0.64], "weight": [WEIGHT]}),
    "cosine": ("feature", {"distance": "cosine"}, {"margin": [0, 0.32], "weight": [WEIGHT]}),
    "angle": ("angle", {}, {"margin": [0, 0.1], "weight": [30, 300]}),
    "pair_distance": ("pair_distance", {}, {"margin": [0, 0.1], "weight": [30, 300]}),
    "teacher_classifier": ("teacher_classifier", {}, {"weight": [1, 3, 10]}),
    "response": ("response", {}, {"margin": [0, 0.5], "weight": [1, 10]}),
    "prototype": ("prototype", {}, {"margin": [0, SOFT], "weight": [WEIGHT]}),
    "contrast": ("contrast", {}, {"weight": [0.3, 3]}),
}
"""Name -> term, its own arguments, and what is tried."""


@dataclass(frozen=True)
class Recordings:
    """What the oracle makes of its recordings, clean and damaged: vectors [n, D] and measured SNRs [n]."""

    ids: list[str]
    speakers: list[str]
    clean: np.ndarray
    damaged: np.ndarray
    clean_snr: np.ndarray
    damaged_snr: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    corpus, out = options.data_folder.resolve(), options.out.resolve()
    recordings, manifest = embedded_recordings(corpus, out)
    inputs = Inputs(recordings, manifest, out / "inputs")
    for name in options.study:
        study = {
            "title": f"controlled distillation on speechocean762: {name}",
            "recipe": str(RECIPE),
            "set": {**STUDENT, "data_folder": str(corpus)},
            "seeds": options.seeds,
            "baseline": BASELINE,
            "conditions": {f"{UTTERANCES} utterances each": {"utterances_per_speaker": UTTERANCES}},
            **STUDIES[name](inputs),
        }
        path = out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        conducted = conduct(load_study(path), out / name, options.jobs)
        for written in conducted.written:
            print(written)
        if failures := conducted.findings.outcome.failures:
            raise failures_error(failures, len(failures) + len(conducted.findings.results))


def embedded_recordings(corpus: Path, out: Path) -> tuple[Recordings, Manifest]:
    """The oracle's view of the recordings that it learnt from, made once in `out`, and their manifest."""
    from data_prep.speechocean762 import prepare

    prepared = prepare(corpus, out / "manifests")
    for_student = training_subset(
        prepared.train, out / "manifests" / "held_back.csv", utterances_per_speaker=HELD_BACK
    )
    path = out / "manifests" / "oracle.csv"
    _others(prepared.train, for_student, path)
    manifest = load_manifest(path, corpus)
    model = oracle(corpus, out / "oracle", manifest)
    if not (out / "oracle" / "results.json").is_file():
        test = load_manifest(prepared.test, corpus)
        print("Oracle:", evaluate_student(model, test, prepared.test_trials, out / "oracle"), sep="\n")
    made_from = json_checksum([model.checksum, file_checksum(path), NOISE_DB, SEED])
    stored = out / f"recordings_{made_from[:12]}.safetensors"
    if not stored.is_file():
        save_file(_embed(model, manifest), stored)
    found = load_file(stored)
    ids, speakers = [each.id for each in manifest], [each.spk_id for each in manifest]
    return Recordings(ids, speakers, **found), manifest


def _others(train: Path, held_back: Path, out: Path) -> None:
    """The rows of `train` that are not in `held_back`."""
    with held_back.open(newline="", encoding="utf-8") as file:
        known = {row["ID"] for row in csv.DictReader(file)}
    with train.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    with out.open("w", newline="", encoding="utf-8") as file:
        place = header.index("ID")
        csv.writer(file, lineterminator="\n").writerows(
            [header, *(row for row in rows if row[place] not in known)]
        )


def oracle(corpus: Path, folder: Path, manifest: Manifest) -> SpeakerModel:
    """An encoder trained on the manifest, audio only; made once, refused if the recipe or the manifest changed."""
    values = {"data_folder": corpus, "output_folder": folder, "text_teacher": 0, "seed": 11, "width": 96}
    argv = [str(RECIPE), *(part for key, value in values.items() for part in (f"--{key}", str(value)))]
    recipe = open_recipe(argv, OWN_KEYS)
    recipe.run.add_checksums(manifest.path)
    if not (folder / "model" / "model.json").is_file():
        SpeakerModel(train_student(recipe, manifest)).save(folder / "model", recipe.run.provenance())
    return SpeakerModel.load(folder / "model")


def _embed(model: SpeakerModel, manifest: Manifest) -> dict[str, np.ndarray]:
    found: dict[str, list[Any]] = {"clean": [], "damaged": [], "clean_snr": [], "damaged_snr": []}
    for place, utterance in enumerate(track(manifest, "Oracle", len(manifest))):
        clean = read_utterance(utterance)
        damaged = add_noise(clean, NOISE_DB, np.random.default_rng((SEED, place)))
        for name, samples in (("clean", clean), ("damaged", damaged)):
            found[name].append(model.embed(samples))
            found[f"{name}_snr"].append(float(snr(torch.from_numpy(samples)[None])))
    return {name: np.array(values, dtype=np.float32) for name, values in found.items()}


class Inputs:
    """Writes the teacher's inputs, below `folder`."""

    def __init__(self, recordings: Recordings, manifest: Manifest, folder: Path) -> None:
        self.recordings, self.folder = recordings, folder
        names = sorted(set(recordings.speakers))
        self.row_of = [names.index(speaker) for speaker in recordings.speakers]
        self.known = {each.spk_id: (each.fields["gender"], float(each.fields["age"])) for each in manifest}
        self.names = names

    def keys(self, shared: float, corrupted: float = 0.0) -> dict[str, str]:
        """The recipe keys of a teacher, whose files are written."""
        name = f"shared_{shared:g}_corrupted_{corrupted:g}"
        vectors_file, table = self.folder / f"{name}.npz", self.folder / f"{name}.csv"
        rng = np.random.default_rng((SEED, 1))
        bad = rng.permutation(len(self.row_of)) < round(corrupted * len(self.row_of))
        seen = self.recordings
        vectors = np.where(bad[:, None], seen.damaged, seen.clean)
        measured = np.where(bad, seen.damaged_snr, seen.clean_snr)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        mixed = math.sqrt(shared) * _unit(_unit(vectors) + self._attributes(vectors.shape[1]))
        mixed += math.sqrt(1 - shared) * self._private(vectors.shape[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        save_embeddings(vectors_file, Embeddings(seen.ids, (length * mixed).astype(np.float32)))
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["ID", "spk_id", "snr", "intact"])
            for values in zip(seen.ids, seen.speakers, measured, 1 - bad, strict=True):
                writer.writerow(values)
        return {"vectors": str(vectors_file), "vectors_table": str(table)}

    def _attributes(self, size: int) -> np.ndarray:
        """Gender and age of each recording's speaker, each along a direction of its own [n, size]."""
        genders, ages = zip(*(self.known[name] for name in self.names), strict=True)
        gender = np.where(np.array(genders) == genders[0], 1.0, -1.0)
        age = (np.array(ages) - np.mean(ages)) / np.std(ages)
        directions = _unit(np.random.default_rng((SEED, 2)).normal(size=(2, size)))
        return ATTRIBUTE * (np.stack([gender, age], 1) @ directions)[self.row_of]

    def _private(self, size: int) -> np.ndarray:
        """A random direction of each recording's speaker, of length 1 [n, size]."""
        return _unit(np.random.default_rng((SEED, 3)).normal(size=(len(self.names), size)))[self.row_of]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def feature(
    margin: float | list[float], keys: dict[str, str], weight: float = WEIGHT, **more: Any
) -> dict[str, Any]:
    """A student under the feature loss and the teacher of `keys`, with one margin or each of several."""
    margins = {"grid": {"margin": margin}} if isinstance(margin, list) else {"margin": margin}
    return {"feature_weight": weight, **keys, **more, **margins}


def questions(inputs: Inputs) -> dict[str, Any]:
    """What a study of the questions has of its own; one question after the other."""
    half, damaged, ends = inputs.keys(0.5), inputs.keys(0.5, corrupted=0.5), [0, SOFT]
    found = {BASELINE: {"feature_weight": 0}, "half shared": feature(MARGINS, half)}
    found |= {f"weight {weight:g}": feature(ends, half, weight) for weight in OTHER_WEIGHTS}
    found |= {f"{share:.0%} shared": feature(ends, inputs.keys(share)) for share in OTHER_SHARES}
    found |= {f"{head} head": feature(ends, half, teacher_head=head) for head in ("centred", "residual")}
    found["half corrupted"] = feature(ends, damaged)
    for name, (source, more) in QUALITIES.items():
        weighed: dict[str, Any] = {"speech_quality": "none", "vector_quality": source, "quality": more}
        found[f"half corrupted, {name}"] = feature(SOFT, damaged, quality_weights=True, **weighed)
    hard, soft = (f"half shared margin={margin:g}" for margin in ends)
    corrupted = f"half corrupted margin={SOFT:g}"
    pairs = [[hard, soft], [soft, corrupted], *([corrupted, f"half corrupted, {name}"] for name in QUALITIES)]
    return {"configurations": found, "controls": [hard, soft], "pairs": pairs}


def forms(inputs: Inputs) -> dict[str, Any]:
    """What a study of all forms of constraint has of its own."""
    damaged = inputs.keys(0.5, corrupted=0.5)
    weighed = {
        "quality_weights": True,
        "speech_quality": "none",
        "vector_quality": "snr",
        "quality": {"slope": 3},
    }
    found: dict[str, Any] = {BASELINE: {"feature_weight": 0}}
    for name, (term, arguments, tried) in FORMS.items():
        grid = {f"terms.{term}.{key}": values for key, values in tried.items()}
        form = {**damaged, "terms": {"feature": {"weight": 0}, term: arguments}, "grid": grid}
        found |= {name: form, f"weighed {name}": {**form, **weighed}}
    return {
        "configurations": found,
        "controls": "chosen",
        "screen": {"seeds": [1]},
        "final": {"best": 4, "always": [f"feature margin=0 weight={WEIGHT}"]},
    }


STUDIES = {"questions": questions, "forms": forms}

if __name__ == "__main__":
    main()
