"""`cmd-speaker embed`, killed with SIGKILL at 20 random moments, and spread over processes by torchrun."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from cmd_speaker.embeddings import load_embeddings
from tests.models import small_model, write_noise

pytestmark = pytest.mark.second_stage
FILES, KILLS = 1500, 20
MAIN = "from cmd_speaker.cli import main; main()"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model, and a folder of audio with two bad files: six parts."""
    folder = tmp_path_factory.mktemp("embed")
    small_model().save(folder / "model")
    for number in range(FILES):
        write_noise(folder / "audio" / f"{number:05}.wav", 0.2 + 0.01 * (number % 7), number)
    (folder / "audio" / "00100.wav").write_bytes(b"")
    (folder / "audio" / "01400.wav").write_text("no audio")
    return folder


def command(given, out):
    return ["embed", str(given / "model"), str(given / "audio"), "--out", str(out)]


def start(given, out):
    line = [sys.executable, "-c", MAIN, *command(given, out)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)


def finish(process):
    """Exit code 3, for the two bad files; what was said of them."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 3, output
    assert f"{FILES - 2} embeddings of {FILES} utterances" in output
    assert output.index("00100.wav") < output.index("01400.wav")
    return output[output.index("2 utterances left out") :].split("\n", 1)[1]


def finished(parts):
    """Name -> what tells a part that was written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in parts.glob("0*.npz")}


def test_killed_at_20_moments_it_ends_in_the_bytes_of_an_unbroken_run(given, tmp_path):
    began = time.monotonic()
    said = finish(start(given, tmp_path / "unbroken.npz"))
    lasts = time.monotonic() - began
    out, parts, rng, begun = tmp_path / "killed.npz", tmp_path / "killed.npz.parts", random.Random(0), 0
    for kill in range(KILLS):
        before = finished(parts)
        process = start(given, out)
        if kill % 2:
            # Soon after a part was written: this call has certainly begun to work.
            while process.poll() is None and len(finished(parts)) == len(before) < 6:
                time.sleep(0.001)
            time.sleep(0.05 * rng.random())
        else:
            time.sleep(lasts * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = finished(parts)
        assert {name: after[name] for name in before} == before, "what is done is not done again"
        begun += 0 < len(after) < 6
        if len(after) == 6:
            # All done: begin again, so that the next kills hit something too.
            assert finish(start(given, out)) == said
            assert out.read_bytes() == (tmp_path / "unbroken.npz").read_bytes()
            out.unlink()
            for path in parts.iterdir():
                path.unlink()
    assert begun >= 5, "kills that hit a run that was half done"
    assert finish(start(given, out)) == said
    assert out.read_bytes() == (tmp_path / "unbroken.npz").read_bytes()
    ids = load_embeddings(out).ids
    assert ids == [f"{number:05}.wav" for number in range(FILES) if number not in (100, 1400)]


def test_torchrun_shares_the_list_out(given, tmp_path):
    finish(start(given, tmp_path / "alone.npz"))
    script = tmp_path / "embed.py"
    script.write_text(MAIN)
    line = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [sys.executable, *line, *command(given, tmp_path / "e.npz")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "2 utterances left out" in done.stderr
    assert "share" in done.stderr
    assert (tmp_path / "e.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()
