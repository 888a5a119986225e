"""m4a to flac: through a stand-in for ffmpeg that copies a flac file, and through the real one where it is."""

import csv
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import AudioInfo, probe
from cmd_speaker.corpora.voxceleb_tree import scan
from cmd_speaker.errors import DataError, DataErrors, exit_code_of
from data_prep.voxceleb import convert
from data_prep.voxceleb.__main__ import main
from data_prep.voxceleb.conversion import m4a_seconds

NAMES = [f"id00012/21Uxsk56VDQ/{number:05}.m4a" for number in range(1, 7)] + ["id00017/01dfn2spqyE/00001.m4a"]
# Keeps what it was asked, and does what is written in the file that it is asked to convert.
STAND_IN = """#!/bin/sh
echo "$@" >> {folder}/asked
while [ $# -gt 1 ]; do [ "$1" = -i ] && file=$2; shift; done
grep -q BROKEN "$file" && {{ echo "$file: Invalid data found" >&2; exit 1; }}
grep -q HALF "$file" && {{ head -c 9000 {folder}/sound.flac > "$1"; exit 0; }}
grep -q SHORT "$file" && {{ cp {folder}/short.flac "$1"; exit 0; }}
if grep -q KILL "$file"; then head -c 3000 {folder}/sound.flac > "$1"; kill -9 $PPID; exit 1; fi
cp {folder}/sound.flac "$1"
"""


def box(name, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def m4a(seconds=1.0, *, version=0, rate=16000, wide=False, after=b""):
    """The boxes of an MPEG-4 file around nothing, in ffmpeg's order: the header comes after the samples."""
    length, form = round(seconds * rate), ">IIIII" if version == 0 else ">IQQIQ"
    header = box(b"mdhd", struct.pack(form, version << 24, 1, 2, rate, length), b"\x55\xc4\0\0")
    movie = box(
        b"moov", box(b"mvhd", bytes(100)), box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", header))
    )
    samples = struct.pack(">I4sQ", 1, b"mdat", 16 + 50) + bytes(50) if wide else box(b"mdat", bytes(50))
    return box(b"ftyp", b"M4A \0\0\2\0") + samples + movie + after


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "vox2"
    for name in NAMES:
        path = root / "dev" / "aac" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(m4a())
    return root


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """The folder of a stand-in on the PATH; `asked` in it has a line for each call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    rng = np.random.default_rng(2)
    # 1,024 samples less than stated: an encoder's delay.
    soundfile.write(folder / "sound.flac", 0.1 * rng.standard_normal(16000 - 1024), 16000)
    soundfile.write(folder / "short.flac", 0.1 * rng.standard_normal(8000), 16000)
    script = folder / "ffmpeg"
    script.write_text(STAND_IN.format(folder=folder))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write_content(source, place, word):
    path = source / "dev" / "aac" / NAMES[place]
    path.write_bytes(m4a(after=box(b"free", word)))
    return path


def asked(ffmpeg):
    return (ffmpeg / "asked").read_text().splitlines()


def test_every_file_becomes_flac_at_its_place(source, ffmpeg, tmp_path):
    done = convert(source, tmp_path / "out", workers=2)
    assert (done.now, done.earlier) == (7, 0)
    assert done.parts == {"VoxCeleb1 dev": 0, "VoxCeleb1 test": 0, "VoxCeleb2 dev": 6, "VoxCeleb2 test": 1}
    out = tmp_path / "out" / "dev" / "flac"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        name.replace("m4a", "flac") for name in NAMES
    ]
    assert probe(out / "id00012/21Uxsk56VDQ/00001.flac") == AudioInfo(16000, 1, 14976)
    assert all("-ac 1 -ar 16000 -sample_fmt s16" in line and " -f flac " in line for line in asked(ffmpeg))


def test_a_second_run_converts_what_is_missing_or_not_whole(source, ffmpeg, tmp_path):
    convert(source, tmp_path / "out")
    (ffmpeg / "asked").unlink()
    folder = tmp_path / "out" / "dev" / "flac" / "id00012" / "21Uxsk56VDQ"
    (folder / "00002.flac").unlink()
    (folder / "00003.flac").write_bytes(b"fLaC")
    shutil.copy(ffmpeg / "short.flac", folder / "00004.flac")
    done = convert(source, tmp_path / "out", workers=1)
    assert (done.now, done.earlier) == (3, 4)
    assert [line.split("-i ")[1].split()[0][-9:] for line in asked(ffmpeg)] == [
        "00002.m4a",
        "00003.m4a",
        "00004.m4a",
    ]
    assert len({probe(path) for path in folder.iterdir()}) == 1


def test_a_killed_run_is_resumed_and_its_half_file_never_counts(source, ffmpeg, tmp_path):
    path = write_content(source, 3, b"KILL")
    code = "import sys; from data_prep.voxceleb import convert; convert(sys.argv[1], sys.argv[2], workers=1)"
    ended = subprocess.run([sys.executable, "-c", code, str(source), str(tmp_path / "out")], check=False)
    assert ended.returncode == -9
    folder = tmp_path / "out" / "dev" / "flac" / "id00012" / "21Uxsk56VDQ"
    assert sorted(p.name for p in folder.glob("0*")) == ["00001.flac", "00002.flac", "00003.flac"]
    assert [p.stat().st_size for p in folder.glob(".00004*")] == [3000]
    path.write_bytes(m4a())
    done = convert(source, tmp_path / "out", workers=1)
    assert (done.now, done.earlier) == (4, 3)
    tree = scan(tmp_path / "out")
    assert (len(tree.recordings), len(tree.bad)) == (7, 0)


def test_failures_are_named_and_the_rest_is_done(source, ffmpeg, tmp_path):
    for place, word in enumerate((b"BROKEN", b"HALF", b"SHORT")):
        write_content(source, place, word)
    (source / "dev" / "aac" / NAMES[3]).write_bytes(b"nothing of the kind")
    with pytest.raises(DataErrors) as caught:
        convert(source, tmp_path / "out")
    assert str(caught.value).startswith("4 of 7 files were not converted (3 are done)")
    for part in (
        f"{NAMES[0]}: Invalid data found (ffmpeg's exit code 1)",
        f"{NAMES[1]}: not converted (expected 1.00 s of flac, found a file that is not whole",
        f"{NAMES[2]}: not converted (expected 1.00 s",
        f"{NAMES[3]}: not an m4a file (expected a header that states the length, found none in 19 bytes)",
    ):
        assert part in str(caught.value)
    failed = tmp_path / "out" / "failed.csv"
    assert [row["file"] for row in csv.DictReader(failed.open())] == [
        str(source / "dev" / "aac" / name) for name in NAMES[:4]
    ]
    assert len(scan(tmp_path / "out").recordings) == 3
    assert not list((tmp_path / "out").rglob("*.tmp"))
    for place in range(4):
        write_content(source, place, b"")
    assert convert(source, tmp_path / "out").now == 4
    assert not failed.exists()


def test_beside_the_source(source, ffmpeg):
    convert(source / "dev", source / "dev")
    tree = scan(source)
    assert (len(tree.recordings), tree.packed) == (7, [])
    assert {recording.path.split("/id")[0] for recording in tree.recordings} == {"dev/flac"}


def test_where_ffmpeg_or_the_files_are_missing(source, ffmpeg, tmp_path, monkeypatch, capsys):
    (tmp_path / "flac" / "id00012" / "21Uxsk56VDQ").mkdir(parents=True)
    with pytest.raises(DataError, match="no m4a files"):
        convert(tmp_path / "flac", tmp_path / "out")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exit_code_of(main, ["convert", str(source), str(tmp_path / "out")]) == 3
    assert "m4a files need ffmpeg (expected the programs of ffmpeg on the PATH" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_told_once(source, ffmpeg, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="nothing can be written here"):
        convert(source, tmp_path / "file" / "out")
    assert not (ffmpeg / "asked").exists()


def test_command_line(source, ffmpeg, tmp_path, capsys):
    assert exit_code_of(main, ["convert", str(source), str(tmp_path / "out"), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "7 files converted, 0 were there" in said
    assert "VoxCeleb2 dev: 6 of 1,092,009 utterances" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"seconds": 8.25}, 8.25), ({"seconds": 3.5, "version": 1}, 3.5), ({"rate": 44100, "wide": True}, 1.0)],
)
def test_the_length_that_a_header_states(tmp_path, options, expected):
    path = tmp_path / "a.m4a"
    path.write_bytes(m4a(**options))
    assert m4a_seconds(path) == pytest.approx(expected, abs=1e-4)


def test_files_without_a_length(tmp_path):
    path = tmp_path / "a.m4a"
    whole = m4a()
    broken = (
        b"",
        whole[:100],
        whole[:-25],
        box(b"ftyp", b"M4A ") + struct.pack(">I4s", 3, b"moov"),
        m4a(seconds=0),
    )
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(DataError, match="not an m4a file"):
            m4a_seconds(path)


@pytest.mark.second_stage
def test_with_the_real_ffmpeg(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(80000) / 10), 16000)
    packed = tmp_path / "dev" / "aac" / NAMES[0]
    packed.parent.mkdir(parents=True)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "a.wav"), "-c:a", "aac", str(packed)]
    subprocess.run(command, check=True)
    assert m4a_seconds(packed) == pytest.approx(5.0, abs=0.2)
    assert convert(tmp_path, tmp_path / "out").now == 1
    (recording,) = scan(tmp_path / "out").recordings
    samples, rate = soundfile.read(tmp_path / "out" / recording.path)
    assert (rate, samples.ndim) == (16000, 1)
    assert len(samples) == pytest.approx(80000, abs=4000)
    assert np.std(samples[8000:72000]) == pytest.approx(0.1 / np.sqrt(2), rel=0.05)
