"""Every command of docs/embedding.md, run where the files it names are."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cmd_speaker.embeddings import load_embeddings
from tests.conftest import voice
from tests.models import RATE, noise, small_model

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
]


def speech(seed):
    """Syllables that a detector takes for speech."""
    rng = np.random.default_rng(seed)
    parts = [each for _ in range(6) for each in (voice(125, 0.97, 0.44, rng), 0.003 * noise(0.06))]
    return np.concatenate([0.003 * noise(1, 1), *parts, 0.003 * noise(1, 2)])


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The files that the page names."""
    monkeypatch.chdir(tmp_path)
    small_model().save("model")
    for folder in ("corpus", "telephone"):
        Path(folder).mkdir()
    for name, seed in (("a", 1), ("b", 1), ("meeting", 1), ("corpus/1", 1), ("corpus/2", 2)):
        soundfile.write(f"{name}.wav", speech(seed), RATE)
    soundfile.write("telephone/a.wav", np.stack([speech(1)] * 2, 1)[::2], 8000)
    seconds = soundfile.info("corpus/1.wav").duration
    rows = [f"{name},{seconds},$data_root/{name}.wav,,,s{name}" for name in "12"]
    Path("test.csv").write_text("\n".join(["ID,duration,wav,start,stop,spk_id", *rows, ""]))
    Path("wav.scp").write_text("1 1.wav\n2 2.wav\n")
    return tmp_path


def test_the_commands(there, cli):
    lines = [line for line in COMMANDS if line.startswith("cmd-speaker ")]
    assert len(lines) == 11
    for line in lines:
        code, _, err = cli(*shlex.split(line, comments=True)[1:])
        assert code == 0, (line, err)
    for name in ("test.npz", "test.scp", "corpus.safetensors", "shared.npz", "fast.npz"):
        assert len(load_embeddings(name)) == 2
    assert len(load_embeddings("some.npz")) == 3
    assert not np.array_equal(load_embeddings("speech.npz").vectors, load_embeddings("meeting.npz").vectors)
    assert not list(there.glob("*.parts"))


def test_the_speech_is_reported(there, cli):
    err = cli("embed", "model", "meeting.wav", "--vad", "--out", "e.npz")[2]
    assert re.search(r"speech: [23]\.\d of 5\.0 s", err), err
    err = cli("verify", "model", "a.wav", "b.wav", "--vad")[2]
    assert re.search(r"speech: ([23]\.\d of 5\.0 s) and \1", err), err


def test_the_python(there):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    names = {"samples": noise(1, rate=48000), "chunks": iter(np.split(noise(4, rate=8000), 10))}
    exec(code, names)
    assert names["found"].same_speaker is None
    assert names["windows"].times.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert names["window"].stop == 4


@pytest.mark.second_stage
def test_torchrun(there):
    (line,) = [line for line in COMMANDS if line.startswith("torchrun ")]
    (there / "bin").mkdir()
    command = there / "bin" / "cmd-speaker"
    command.write_text(f"#!{sys.executable}\nfrom cmd_speaker.cli import main\nmain()\n")
    command.chmod(0o755)
    torchrun = shutil.which("torchrun", path=Path(sys.executable).parent)
    words = [torchrun, "--standalone", *shlex.split(line, comments=True)[1:]]
    path = os.pathsep.join([str(there / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        words, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert len(load_embeddings(there / "torchrun.npz")) == 2
