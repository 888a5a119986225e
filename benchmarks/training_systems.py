"""The trainings that benchmarks/training_speed.py compares, each built as its own recipe builds it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from made_up_voxceleb import open_voxceleb
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.preparation import prepare_csv
from speechbrain.augment.time_domain import SpeedPerturb
from torch import nn

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.training.fit import build_brain
from cmd_speaker.training.teachers import prepare_teachers

WEIGHT_DECAY = 0.000002
SPEEDS = [95, 100, 105]
STOCK_COPIES = 5


class Training(NamedTuple):
    """A Brain that is ready; `modules` are those of its forward pass by the name of their part."""

    brain: sb.Brain
    modules: dict[str, nn.Module]
    classifier: nn.Module
    fit: Callable[[], None]

    @property
    def student(self) -> nn.Module:
        return self.modules["student"]


def ours(
    options: argparse.Namespace,
    system: str,
    augmentation: str,
    folder: Path,
    run: Path,
    architecture: str = "ecapa_tdnn",
) -> Training:
    """recipes/VoxCeleb, as `cmd_speaker.training.fit.train_student` runs it."""
    on = augmentation == "on"
    values: dict[str, object] = {
        "batch_size": options.batch_size, "crop_seconds": options.crop, "architecture": architecture,
        "width": options.width,
        "num_workers": options.num_workers, "device": options.device, "precision": options.precision,
        "weight_decay": WEIGHT_DECAY, "spec_augment": False, "speed": on, "noise": on, "reverberation": on,
    }  # fmt: skip
    if on:
        values |= {"noise_folder": folder / "noise", "rir_folder": folder / "rir"}
    if system == "decoded cache":
        values |= {"cache_folder": folder / "cache"}
    if system == "shards":
        values |= {"shards": folder / "shards"}
    if system == "face teacher":
        values |= {
            "face_teacher": 1, "classifier_weight": 1, "faces": folder / "faces.npz",
            "faces_table": folder / "faces.csv", "teacher_folder": folder / "teachers",
        }  # fmt: skip
    recipe, train = open_voxceleb(folder, run, values)
    teachers = prepare_teachers(recipe, train)
    brain, loader = build_brain(recipe, train, None, teachers)
    augmenter = recipe.hparams["wav_augment"]
    if augmenter is not None:
        augmenter.min_augmentations = augmenter.max_augmentations
    modules = {
        "augmentation": augmenter,
        "features": brain.modules.front_end,
        "student": brain.modules.student,
    }
    recipe.run.begin()
    return Training(
        brain,
        {name: each for name, each in modules.items() if each is not None},
        brain.classifier,
        lambda: brain.fit(recipe.hparams["epoch_counter"], loader, progressbar=False),
    )


def speechbrain(options: argparse.Namespace, augmentation: str, folder: Path, run: Path) -> Training:
    """The recipe of the checkout, from the reading of its YAML on as its script runs it."""
    recipe = options.speechbrain.resolve() / "recipes" / "VoxCeleb" / "SpeakerRec"
    sys.path.insert(0, str(recipe))
    from train_speaker_embeddings import SpeakerBrain, dataio_prep

    torch.backends.cudnn.benchmark = True
    (run / "save").mkdir()
    for kind in ("noise", "rir"):
        prepare_csv([str(path) for path in sorted((folder / kind).iterdir())], str(run / f"{kind}.csv"))
    width, copies = options.width, STOCK_COPIES if augmentation == "stock" else 1
    overrides = {
        "data_folder": str(folder), "output_folder": str(run), "train_annotation": str(folder / "train.csv"),
        "valid_annotation": str(folder / "train.csv"), "noise_annotation": str(run / "noise.csv"),
        "rir_annotation": str(run / "rir.csv"), "batch_size": options.batch_size // copies,
        "sentence_len": options.crop, "num_workers": options.num_workers, "out_n_neurons": options.speakers,
        "embedding_model": {
            "channels": [width, width, width, width, 3 * width],
            "attention_channels": min(128, width), "se_channels": min(128, width),
        },
    }  # fmt: skip
    arguments = ["--device", options.device, "--precision", options.precision]
    yaml, run_opts, _ = sb.parse_arguments([str(recipe / "hparams" / "train_ecapa_tdnn.yaml"), *arguments])
    with open(yaml, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    if augmentation == "off":
        del hparams["wav_augment"]
    elif augmentation == "on":
        parts = [SpeedPerturb(SAMPLE_RATE, SPEEDS), hparams["add_noise"], hparams["add_reverb"]]
        hparams["wav_augment"] = Augmenter(
            min_augmentations=3, max_augmentations=3, shuffle_augmentations=True, augmentations=parts
        )
    train, _, _ = dataio_prep(hparams)
    brain = SpeakerBrain(
        modules=hparams["modules"], opt_class=hparams["opt_class"], hparams=hparams, run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )  # fmt: skip
    modules = {
        "augmentation": hparams.get("wav_augment"),
        "features": brain.modules.compute_features,
        "student": brain.modules.embedding_model,
    }
    return Training(
        brain,
        {name: each for name, each in modules.items() if each is not None},
        brain.modules.classifier,
        lambda: brain.fit(
            hparams["epoch_counter"],
            train,
            progressbar=False,
            train_loader_kwargs=hparams["dataloader_options"],
        ),
    )
