"""Recipes on shards: the bits of training on loose files, without these files."""

import json
import shutil

import pytest

from cmd_speaker.manifest import load_manifest
from cmd_speaker.training.fit import SpeakerBrain
from tests.refusals import refused
from tests.training import weights

OPTIONS = {
    "number_of_epochs": 2, "speed": True, "noise": True, "cache_folder": "", "ckpt_interval_minutes": 0,
    "ckpt_interval_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def loose(train, tmp_path_factory):
    """A run on the corpus's own files, without a cache."""
    return train(tmp_path_factory.mktemp("loose") / "run", **OPTIONS)
