"""docs/registry.md: every command and the program in it are run, in order."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.features import KaldiFbank
from cmd_speaker.model import SpeakerModel
from cmd_speaker.registry import Enrolled, Registry
from cmd_speaker.registry.rows import Rows
from cmd_speaker.registry.seal import KEY_VARIABLE
from cmd_speaker.registry.store import RegistryUnusable
from cmd_speaker.students import EcapaTdnn
from tests.conftest import voice, write_audio
from tests.integration.test_embedding_docs import speech
from tests.models import RATE
from tests.registries import KEY, folder_bytes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "registry.md"
VOICES = {"ada1": 110, "ada2": 110, "zoe1": 220, "zoe2": 220, "zoe3": 220, "unknown": 110}


def blocks(language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A model, recordings of two voices, and labelled scores."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    SpeakerModel(SpeakerEncoder(KaldiFbank(), EcapaTdnn(width=16, embedding_size=24))).save("model")
    for seed, (name, pitch) in enumerate(VOICES.items()):
        write_audio(Path(f"{name}.wav"), voice(pitch, 1.0, 1.0, np.random.default_rng(seed)))
    rng = np.random.default_rng(0)
    scores = [(rng.normal(0.8 if label else 0.3, 0.2), label) for label in (True, False) for _ in range(200)]
    Path("valid.txt").write_text(
        "".join(f"a{k} b{k} {score:.4f} {int(label)}\n" for k, (score, label) in enumerate(scores))
    )
    return tmp_path


def run(line, cli):
    """One line of the page; what it printed."""
    if not line.startswith("cmd-speaker "):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["bash", "-c", line], check=True, env=os.environ | {"PATH": path})
        return ""
    code, out, err = cli(*shlex.split(line, comments=True)[1:])
    # 1: nobody. These voices are no people, and the model has learnt nothing.
    assert code in ((0, 1) if "identify" in line else (0,)), f"{line}\n{err}"
    return out


def test_the_page(here, cli):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    outputs = {line.split("#")[0].strip(): run(line, cli) for line in lines}
    assert len(outputs) == 12
    assert "Ada  2 recordings, " in outputs["cmd-speaker list people"]
    assert "Zoë 明  3 recordings, " in outputs["cmd-speaker list people"]
    shown = outputs["cmd-speaker identify people unknown.wav"].splitlines()
    assert re.fullmatch(r"(Ada|Zoë 明|nobody who is enrolled)  \(threshold [-.\d]+ at 0\.01\)", shown[0])
    assert re.fullmatch(r"  1  (Ada|Zoë 明)  score [-.\d]+  LLR [-+.\d]+  (yes|no)", shown[1])
    assert re.fullmatch(r"  2  (Ada|Zoë 明)  score [-.\d]+  LLR [-+.\d]+  no", shown[2])
    (line,) = (line for line in outputs if line.endswith("--json"))
    found = json.loads(outputs[line])
    assert (found["point"], found["speakers"]) == ({"p_target": 0.5, "c_miss": 1.0, "c_fa": 10.0}, 2)
    assert [(each["rank"], each["accepted"]) for each in found["candidates"]] == [
        (1, found["known"]),
        (2, False),
    ]
    assert found["known"] is (found["candidates"][0]["llr"] >= found["threshold"])
    for folder in ("people", "secret"):
        assert b"Ada" not in folder_bytes(here / folder)
    assert "Zoë".encode() in folder_bytes(here / "people")
    assert (here / "registry.key").stat().st_mode & 0o077 == 0, "its owner alone reads the key"


def test_the_program(here, monkeypatch, capsys):
    (program,) = blocks("python")
    monkeypatch.setenv(KEY_VARIABLE, KEY.hex())
    exec(compile(program, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.splitlines()[1] == "['Ada']"
    assert b"Ada" not in folder_bytes(here / "people")


def test_keys_on_the_command_line(here, cli, monkeypatch):
    Path("key").write_text(KEY.hex())
    enrol = ["enroll", "reg", "Ada", "ada1.wav", "--model", "model"]
    assert cli(*enrol, "--key-file", "key")[0] == 0
    assert b"Ada" not in folder_bytes(here / "reg")
    for command in (enrol, ["list", "reg"], ["identify", "reg", "ada2.wav"], ["forget", "reg", "Ada"]):
        code, _, err = cli(*command)
        assert (code, "is encrypted" in err, "--key-file" in err) == (2, True, True), command
        monkeypatch.setenv(KEY_VARIABLE, "00" * 32)
        code, _, err = cli(*command)
        assert (code, "the key does not fit" in err) == (3, True), command
        monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv(KEY_VARIABLE, KEY.hex())
    code, out, _ = cli("list", "reg", "--json")
    found = json.loads(out)
    assert (code, found["speakers"]) == (0, [{"name": "Ada", "recordings": 1, "seconds": 1.0}])
    assert found["model"] == SpeakerModel.load("model").checksum
    code, _, err = cli("enroll", "reg", "Ada", "ada1.wav", "ada2.wav")
    assert (code, "2 recordings (1 given were enrolled already); 1 speakers" in err) == (0, True)
    code, _, err = cli("enroll", "reg", "Eve", "ada1.wav")
    assert (code, "it stands under 'Ada'" in err) == (3, True)


def test_a_registry_that_cannot_be_written_ends_the_command(here, cli, monkeypatch):
    add, given = Rows.add, []

    def full(rows, name, each):
        given.append(each.file)
        if len(given) == 2:
            raise RegistryUnusable("disk is full")
        return add(rows, name, each)

    monkeypatch.setattr(Rows, "add", full)
    files = ["none.wav", "zoe1.wav", "zoe2.wav", "zoe3.wav"]
    code, _, err = cli("enroll", "reg", "Zoe", *files, "--model", "model")
    assert (code, given) == (3, ["zoe1.wav", "zoe2.wav"])
    assert "2 of 4 recordings were looked at" in err
    assert "none.wav: no such" in err
    assert "disk is full" in err
    monkeypatch.setattr(Rows, "add", add)
    code, _, err = cli("enroll", "reg", "Zoe", *files[1:])
    assert (code, "3 recordings (1 given were enrolled already)" in err) == (0, True)


def test_speech_alone(here, cli):
    """Three seconds of speech in five are enrolled, and compared with the same of the test."""
    pytest.importorskip("silero_vad")
    soundfile.write("paused.wav", speech(1), RATE)
    assert cli("enroll", "reg", "Ada", "paused.wav", "--model", "model", "--vad")[0] == 0
    assert cli("enroll", "all", "Ada", "paused.wav", "--model", "model")[0] == 0
    seconds = [
        json.loads(cli("list", folder, "--json")[1])["speakers"][0]["seconds"] for folder in ("reg", "all")
    ]
    assert seconds == [pytest.approx(3, abs=0.5), 5.0]
    scores = [
        json.loads(cli("identify", "reg", "paused.wav", *more, "--json")[1])["candidates"][0]["score"]
        for more in (["--vad"], [])
    ]
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[1] < 1 - 1e-4
    model = SpeakerModel.load("model")
    made = Enrolled.of_file(model, "paused.wav", vad=True)
    assert (made.file, made.recording.seconds, made.recording.length) == ("paused.wav", seconds[0], 5.0)
    with Registry.open("reg") as registry:
        np.testing.assert_array_equal(registry.embeddings()["Ada"], made.recording.embedding[None])
        assert registry.enrol("Ada", [made]) == 0


def test_approximate_search(here, cli):
    pytest.importorskip("faiss")
    assert cli("enroll", "reg", "Ada", "ada1.wav", "--model", "model")[0] == 0
    code, out, err = cli("identify", "reg", "ada2.wav", "--approximate")
    assert (code, "Ada" in out, "approximate search in" in err) == (0, True, True)
