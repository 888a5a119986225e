"""Real photographs on their whole way: MTCNN, InceptionResnetV1, embeddings, a student of VoxCeleb."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter
from skimage import data

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.evaluation.metrics import eer
from cmd_speaker.faces.detection import FaceDetector
from cmd_speaker.faces.embedding import USED, FaceEmbedder, Rules
from cmd_speaker.faces.encoders import open_encoder
from cmd_speaker.faces.sources import FaceSource
from cmd_speaker.teachers.pictures import GIVEN
from cmd_speaker.training.log import last_epoch
from data_prep.voxceleb import prepare
from tests.celebrities import SMALL, VOX1_TRIALS, write_speech
from tests.faces import grace_hopper, write_encoder
from tests.training import ROOT, command_line, load_recipe
from tests.voxceleb import VIDEOS, names_of

RECIPE = ROOT / "recipes" / "VoxCeleb"
SPEAKERS = [f"id1000{k}" for k in range(1, 9)]


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """InceptionResnetV1 with random weights, as a file."""
    import facenet_pytorch as facenet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = facenet.InceptionResnetV1(pretrained=None)
    path = tmp_path_factory.mktemp("weights") / "inception.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """VoxCeleb1 with eight speakers, and their faces by name: two photographs, brighter from one to the next."""
    root = tmp_path_factory.mktemp("voxceleb1")
    for name in names_of(SPEAKERS):
        write_speech(root / "vox1_dev_wav" / "wav" / name)
    for name in {name for line in VOX1_TRIALS.splitlines() for name in line.split()[1:]}:
        write_speech(root / "vox1_test_wav" / "wav" / name)
    (root / "trials.txt").write_text(VOX1_TRIALS)
    rows = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    for k, speaker in enumerate(SPEAKERS):
        rows.append(f"{speaker}\tFirstname{k}_Lastname\t{'fm'[k % 2]}\tUK\tdev")
        photograph = Image.fromarray([data.astronaut, grace_hopper][k % 2]())
        for video in VIDEOS:
            place = root / "unzippedFaces" / f"Firstname{k}_Lastname" / "1.6" / video / "0000025.jpg"
            place.parent.mkdir(parents=True)
            ImageEnhance.Brightness(photograph).enhance(0.6 + 0.1 * k).resize((256, 256)).save(place)
    (root / "vox1_meta.csv").write_text("".join(f"{row}\n" for row in rows))
    return root


def test_from_photographs_to_a_student_and_nobodys_name_anywhere(cli, tree, inception, tmp_path):
    prepared = prepare(
        tree, tmp_path / "manifests", "vox1", metadata=[tree / "vox1_meta.csv"], faces=[tree / "unzippedFaces"],
        valid_speakers=2,
    )  # fmt: skip
    folder = tmp_path / "faces"
    code, out, _ = cli(
        "faces", prepared.train, prepared.valid, "--data-root", tree, "--out", folder, "--encoder", inception
    )
    assert code == 0
    assert "| train.csv | 24 | 0 | 24 | 0 | 0 | 0 | 6 | 6 |" in out
    assert "| used | 16 |" in out
    assert load_embeddings(folder / "faces.safetensors").vectors.shape == (16, 512)
    load_recipe(RECIPE).main(command_line(RECIPE / "hparams" / "voxceleb.yaml", {
        **SMALL, "data_folder": tree, "output_folder": tmp_path / "run", "train_on": "vox1",
        "trials": tree / "trials.txt", "accept_unknown": True, "metadata": tree / "vox1_meta.csv",
        "face_teacher": 1, "faces": folder / "faces.safetensors", "faces_table": folder / "faces.csv",
        "text_teacher": 1, "teachers": "{text: {steps: 30, size: 16, layers: 1}}", "classifier_weight": 1,
        "quality_weights": True, "face_quality": "face_sharpness",
    }))  # fmt: skip
    logged = {name.removeprefix("train ") for name in last_epoch(tmp_path / "run")}
    assert logged >= {"face.feature", "face.teacher_classifier", "face.weight", "text.feature"}
    written = [path for place in (folder, tmp_path / "run") for path in place.rglob("*") if path.is_file()]
    named = {path for path in written if b"Lastname" in path.read_bytes()}
    assert named == {folder / "pictures.csv"}


def outcomes_of(pictures, encoder):
    """What becomes of photographs, and the embeddings, under a detector that is asked for any face at all."""
    embedder = FaceEmbedder(encoder, FaceDetector(), Rules(0, 0))
    sources = [FaceSource(str(k), "", "", "utterance", "u", "s", "") for k in range(len(pictures))]
    return embedder.embed(sources, [np.asarray(picture) for picture in pictures])


@pytest.mark.parametrize("photograph", [data.astronaut, grace_hopper])
def test_quality_falls_with_blur_and_size(tmp_path, photograph):
    picture = Image.fromarray(photograph())
    half = picture.resize([side // 2 for side in picture.size])
    blurred = [picture.filter(ImageFilter.GaussianBlur(sigma)) for sigma in (1, 2, 4)]
    encoder = open_encoder(write_encoder(tmp_path / "e.onnx"))
    outcomes, _ = outcomes_of([picture, half, *blurred], encoder)
    whole, smaller, *others = (outcome.quality for outcome in outcomes)
    assert smaller["face_size"] == pytest.approx(whole["face_size"] / 2, rel=0.1)
    sharpness = [quality["face_sharpness"] for quality in (whole, *others)]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[-1] < sharpness[0] - 6
    assert all(0 <= outcome.quality[GIVEN] <= 1 for outcome in outcomes)


def test_faces_of_one_person_lie_nearer_than_those_of_two(shared_data, inception):
    """Four photographs each of twelve people of the ORL database, even under random weights: chance is 50 %."""
    folder = shared_data / "orl_faces"
    if not folder.is_dir():
        pytest.skip(f"the photographs are not there: {folder}")
    people = np.repeat(np.arange(1, 13), 4)
    paths = [folder / f"s{person}" / f"{1 + k % 4}.pgm" for k, person in enumerate(people)]
    outcomes, vectors = outcomes_of(
        [Image.open(path).convert("RGB") for path in paths], open_encoder(inception)
    )
    assert {outcome.status for outcome in outcomes} == {USED}
    centred = vectors - vectors.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    pairs = np.triu_indices(len(people), 1)
    same = people[:, None] == people
    assert eer((centred @ centred.T)[pairs], same[pairs])[0] < 0.33


def test_the_orl_database_as_it_is_distributed(cli, shared_data, tmp_path):
    """Folders of .pgm files, by person."""
    folder = shared_data / "orl_faces"
    if not folder.is_dir():
        pytest.skip(f"the photographs are not there: {folder}")
    rows = [("ID", "duration", "wav", "start", "stop", "spk_id", "face")]
    rows += [(f"u{k}", 1.0, "a.wav", 0, 16000, f"s{k}", f"$data_root/s{k}") for k in (1, 2, 3)]
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    code, out, _ = cli(
        "faces", tmp_path / "m.csv", "--data-root", folder, "--out", tmp_path / "out", "--per-key", 4,
        "--encoder", write_encoder(tmp_path / "e.onnx"),
    )  # fmt: skip
    assert code == 0
    assert "| used | 12 |" in out
