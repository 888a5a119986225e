"""Small trees in the layout of VoxCeleb and CN-Celeb, and embeddings of faces, for tests of the recipes."""

import csv
import re
from zlib import crc32

import numpy as np

from cmd_speaker.embeddings import Embeddings, save_embeddings
from tests.conftest import voice, write_audio
from tests.voxceleb import REAL_LINES, names_of

SMALL = {
    "width": 8, "embedding_size": 12, "batch_size": 4, "crop_seconds": 0.5, "number_of_epochs": 1,
    "validation_speakers": 2, "validation_interval": 1, "num_workers": 0, "device": "cpu",
}  # fmt: skip
"""What makes a run of either recipe one of seconds."""
VOX1_TRIALS = f"""\
{REAL_LINES}\
1 id10273/E50E5hbggyM/00004.wav id10273/0OCW1HUxZyg/00001.wav
1 id10284/Uzxv7Axh3Z8/00001.wav id10284/RNYNkXzY5Hk/00014.wav
1 id10300/ize_eiCFEg0/00003.wav id10300/AytdA2W0Y_M/00006.wav
"""
"""Lines of VoxCeleb1-O, as published, with targets of four speakers."""
VOX2_META = """\
VoxCeleb2 ID,VGGFace2 ID,Gender,Set
id00012 ,n000012 ,m ,dev 
id00018 ,n000018 ,m ,dev 
id00019 ,n000019 ,m ,dev 
id00020 ,n000020 ,m ,dev 
id00022 ,n000022 ,f ,dev 
id00024 ,n000024 ,f ,dev 
id00026 ,n000026 ,m ,dev 
id00027 ,n000027 ,m ,dev 
"""
"""Lines of vox2_meta.csv, as published."""
VOX2_SPEAKERS = [line.split(" ")[0] for line in VOX2_META.splitlines()[1:]]


def write_speech(path, seconds=0.6):
    """Speech-like sound of the speaker whose id, `id` and five digits, is part of the path."""
    speaker = int(re.search(r"id(\d{5})", path.as_posix())[1])
    own, rng = (
        np.random.default_rng(speaker),
        np.random.default_rng(crc32("/".join(path.parts[-3:]).encode())),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, voice(own.uniform(90, 260), own.uniform(0.7, 1.05), seconds, rng))


def write_voxceleb(root, trials=VOX1_TRIALS):
    """`root` with the utterances of `trials` and 8 speakers of VoxCeleb2 with two videos of two utterances.

    Beside them, `trials.txt` and `vox2_meta.csv`.
    """
    for name in sorted({name for line in trials.splitlines() for name in line.split()[1:]}):
        write_speech(root / "vox1_test_wav" / "wav" / name)
    for name in names_of(VOX2_SPEAKERS):
        write_speech((root / "dev" / "flac" / name).with_suffix(".flac"))
    (root / "trials.txt").write_text(trials)
    (root / "vox2_meta.csv").write_text(VOX2_META)
    return root


def write_faces(folder, speakers):
    """`faces.safetensors` and `faces.csv` of two faces a speaker; the options that give them to a recipe."""
    rng, ids, vectors, rows = np.random.default_rng(0), [], [], []
    for speaker in speakers:
        own = rng.standard_normal(16)
        for index in (1, 2):
            ids.append(f"{speaker}-{index}")
            vectors.append(own + 0.3 * rng.standard_normal(16))
            rows.append((ids[-1], speaker, f"{rng.uniform(0.9, 1):.4f}"))
    folder.mkdir(parents=True, exist_ok=True)
    save_embeddings(folder / "faces.safetensors", Embeddings(ids, np.array(vectors, np.float32)))
    with (folder / "faces.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("ID", "spk_id", "detector_probability"), *rows])
    return {
        "face_teacher": 1,
        "faces": folder / "faces.safetensors",
        "faces_table": folder / "faces.csv",
    }


CN_TRIALS = """\
id00800-enroll test/id00800-singing-01-005.wav 1
id00800-enroll test/id00801-singing-01-001.wav 0
id00800-enroll test/id00802-live_broadcast-02-013.wav 0
id00801-enroll test/id00801-singing-01-001.wav 1
id00801-enroll test/id00800-singing-01-005.wav 0
id00802-enroll test/id00802-live_broadcast-02-013.wav 1
"""
"""In the form of CN-Celeb's trials.lst."""
CN_SPEAKERS = [f"id{number:05}" for number in range(10, 18)]


def write_cnceleb(root):
    """`root` with the recordings of CN_TRIALS, whose speakers are among the data too, and 8 training speakers."""
    corpus = root / "CN-Celeb_flac"
    trials = [line.split() for line in CN_TRIALS.splitlines()]
    models = sorted({model for model, _, _ in trials})
    pieces = {model: [f"{model[:7]}/speech-01-00{k}" for k in (1, 2)] for model in models}
    names = ("speech-01-001", "speech-01-002", "vlog-02-001")
    training = [f"{who}/{name}" for who in CN_SPEAKERS for name in names]
    for name in [*training, *(piece for each in pieces.values() for piece in each)]:
        write_speech(corpus / "data" / f"{name}.flac")
    for name in [f"enroll/{model}" for model in models] + sorted({test[:-4] for _, test, _ in trials}):
        write_speech(corpus / "eval" / f"{name}.flac")
    for name, lines in {
        "dev/dev.lst": CN_SPEAKERS,
        "eval/lists/trials.lst": CN_TRIALS.splitlines(),
        "eval/lists/enroll.lst": [f"{model} enroll/{model}.wav" for model in models],
        "eval/lists/enroll.map": [" ".join([m, *(f"{each}.wav" for each in pieces[m])]) for m in models],
        "eval/lists/test.lst": sorted({test for _, test, _ in trials}),
    }.items():
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text("".join(f"{line}\n" for line in lines))
    return root
