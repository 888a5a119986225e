"""The recipes that share a pipeline say the same, but for what their corpora are."""

import pytest
import yaml

from tests.training import ROOT

VOXCELEB = ROOT / "recipes" / "VoxCeleb" / "hparams" / "voxceleb.yaml"
OTHERWISE = {"data_folder", "output_folder", "validation_speakers", "batch_size"}
"""Keys whose values may be the corpus's."""
CORPUS = {"train_on", "trials", "accept_unknown", "metadata"}
TEXT = {"teachers.text", "distillation.text", "text_encoder", "text_teacher", "text_quality"}


def keys_of(path):
    """Key -> its value with tags, as text, and teachers' blocks under names of their own."""
    root = yaml.compose(path.read_text())
    found = {}
    for key, node in root.value:
        blocks = node.value if key.value in ("teachers", "distillation") else []
        found |= {f"{key.value}.{name.value}": yaml.serialize(block) for name, block in blocks}
        if not blocks:
            found[key.value] = yaml.serialize(node)
    return found


@pytest.mark.parametrize(
    ("name", "own", "without"),
    [
        ("CNCeleb/hparams/cnceleb.yaml", {"min_seconds", "joined_folder"}, CORPUS | TEXT),
        ("Folder/hparams/folder.yaml", {"test_speakers"}, CORPUS),
    ],
)
def test_other_recipes_are_that_of_voxceleb_where_the_corpus_is_not_meant(name, own, without):
    ours, theirs = keys_of(ROOT / "recipes" / name), keys_of(VOXCELEB)
    assert {key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]} <= OTHERWISE
    assert ours.keys() - theirs.keys() == own
    assert theirs.keys() - ours.keys() == without
