"""Which pictures and frames are looked at, under which names, and whose they are."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.faces import sources
from cmd_speaker.faces.sources import evenly, find_sources, read_frame
from tests.teachers import write_faces


@pytest.fixture
def root(tmp_path):
    """`one.png`, and folders with seven and three pictures."""
    for name in ("one.png", *(f"seven/{k}.png" for k in range(7)), *(f"three/{k}.png" for k in range(3))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), (10, 20, 30)).save(path)
    return tmp_path


def test_evenly_takes_the_middle_of_equal_parts():
    """Ten in five parts of two: the second of each; seven in two: 7/4 = 1.75 and 21/4 = 5.25."""
    assert evenly(range(10), 5) == [1, 3, 5, 7, 9]
    assert evenly(range(7), 2) == [1, 5]
    assert evenly("abc", 1) == ["b"]
    assert evenly("abc", 3) == evenly("abc", 9) == ["a", "b", "c"]


def test_whose_they_are_and_how_many_of_each(root):
    rows = [
        ("a1", "a", "x", "$data_root/one.png"),
        ("a2", "a", "x", "$data_root/seven"),
        ("a3", "a", "x", "$data_root/seven"),
        ("b1", "b", "x", "$data_root/three"),
        ("b2", "b", "y", "$data_root/three"),
        ("b3", "b", "y", ""),
        ("b4", "b", "y", "$data_root/gone.png"),
    ]
    found = find_sources([write_faces(root / "m.csv", rows, root)], root, 2)
    assert [(s.name, s.level, s.key, s.speaker, s.session) for s in found.chosen] == [
        ("one.png", "utterance", "a1", "a", "x"),
        ("seven/1.png", "session", "a/x", "a", "x"),
        ("seven/5.png", "session", "a/x", "a", "x"),
        ("three/0.png", "identity", "b", "b", ""),
        ("three/2.png", "identity", "b", "b", ""),
    ]
    assert [s.id for s in found.chosen] == [
        "utterance:a1:1", "session:a/x:1", "session:a/x:2", "identity:b:1", "identity:b:2",
    ]  # fmt: skip
    assert found.passed_over == 5 + 1
    assert [str(error).split(": ")[0] for error in found.missing] == [f"{root}/m.csv, row 8"]
    assert found.chosen[0].read().tolist() == [[[10, 20, 30]] * 4] * 3


def test_a_folder_of_videos(root, monkeypatch):
    """The middle frame of each of three, where three are wanted; pictures come before videos."""
    monkeypatch.setattr(sources, "_refuse_videos_without_ffmpeg", lambda chosen: None)
    for k in (2, 1, 3):
        (root / "videos" / f"{k}").mkdir(parents=True)
        (root / "videos" / f"{k}" / "v.MP4").touch()
    manifest = write_faces(root / "m.csv", [("a1", "a", "x", "$data_root/videos")], root)
    found = find_sources([manifest], root, 3)
    assert [(s.name, s.frame, s.frames) for s in found.chosen] == [
        (f"videos/{k}/v.MP4", 1, 3) for k in (1, 2, 3)
    ]
    assert found.passed_over == 0
    found = find_sources([manifest], root, 1)
    assert [(s.name, s.frame, s.frames) for s in found.chosen] == [("videos/2/v.MP4", 0, 1)]
    assert found.passed_over == 2
    (root / "three" / "v.mp4").touch()
    other = write_faces(root / "n.csv", [("a1", "a", "x", "$data_root/three")], root)
    assert [s.name for s in find_sources([other], root, 1).chosen] == ["three/1.png"]


def test_several_manifests_and_a_picture_that_belongs_twice(root):
    """In the first manifest the folder is the speaker's, in the second the only utterance's: two embeddings."""
    train = [(f"a{k}", "a", f"x{k}", "$data_root/three") for k in range(2)]
    first = write_faces(root / "1.csv", train, root)
    second = write_faces(root / "2.csv", [("a9", "a", "x9", "$data_root/three")], root)
    found = find_sources([first, second], root, 1)
    assert [(s.name, s.id) for s in found.chosen] == [
        ("three/1.png", "identity:a:1"), ("three/1.png", "utterance:a9:1"),
    ]  # fmt: skip


def test_no_face_that_is_named_is_there(root):
    rows = [(f"a{k}", "a", "", f"$data_root/gone{k}.png") for k in range(3)]
    with pytest.raises(DataErrors, match=r"(?s)none of the 3 faces.*gone0\.png.*gone2\.png"):
        find_sources([write_faces(root / "m.csv", rows, root)], root, 2)


@pytest.fixture
def video(root):
    """Four seconds of black, then four of white, 32 by 16 pixels. Needs ffmpeg."""
    path = root / "video.mp4"
    half = ["-f", "lavfi", "-i"]
    subprocess.run(
        ["ffmpeg", "-v", "error", *half, "color=black:s=32x16:d=4", *half, "color=white:s=32x16:d=4",
         "-filter_complex", "concat=n=2:v=1:a=0", str(path)], check=True,
    )  # fmt: skip
    return path


@pytest.mark.second_stage
def test_frames_of_a_video(root, video):
    manifest = write_faces(root / "m.csv", [("a1", "a", "x", "$data_root/video.mp4")], root)
    chosen = find_sources([manifest], root, 4).chosen
    assert [(s.id, s.frame, s.frames) for s in chosen] == [(f"utterance:a1:{k + 1}", k, 4) for k in range(4)]
    frames = [s.read() for s in chosen]
    assert {frame.shape for frame in frames} == {(16, 32, 3)}
    assert [frame.mean() > 128 for frame in frames] == [False, False, True, True]


def make_video(path, *source):
    subprocess.run(["ffmpeg", "-v", "error", *source, str(path)], check=True)
    return path


@pytest.mark.second_stage
@pytest.mark.parametrize(
    "source",
    [
        ["-f", "lavfi", "-i", "testsrc=s=32x16:d=1", "-f", "lavfi", "-i", "sine=d=5"],
        ["-f", "lavfi", "-i", "testsrc=s=32x16:d=3:r=1"],
        ["-f", "lavfi", "-i", "testsrc=s=32x16", "-frames:v", "1"],
    ],
    ids=["its sound is longer", "one frame a second", "one frame"],
)
def test_every_place_of_a_video_has_a_frame(root, source):
    path = make_video(root / "v.mp4", *source)
    assert [read_frame(path, (k + 0.5) / 9).shape for k in range(9)] == [(16, 32, 3)] * 9


@pytest.mark.second_stage
def test_sound_without_pictures(root):
    path = make_video(root / "v.mp4", "-f", "lavfi", "-i", "sine=d=1")
    with pytest.raises(DataError, match=r"v\.mp4: not readable as a video.*found no pictures in it"):
        read_frame(path, 0.5)


@pytest.mark.second_stage
def test_a_playlist_reaches_no_address(root):
    """ffmpeg itself would ask for the address, and then wait for the playlist to grow."""
    (root / "v.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n")
    with pytest.raises(
        DataError, match=r"v\.mp4: not readable as a video.*found the video: Invalid argument"
    ):
        read_frame(root / "v.mp4", 0.5)


@pytest.mark.second_stage
def test_a_broken_video_is_named(root):
    (root / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"broken\.mp4: not readable as a video"):
        read_frame(root / "broken.mp4", 0.5)


def test_what_ffmpeg_says_or_does_not_give_is_an_error(root, monkeypatch):
    """Stand-ins for the programs: a duration that is none, no frame, a failure in words."""
    tools = root / "tools"
    tools.mkdir()

    def program(name, text):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)

    def streams(rate, duration):
        return f"""echo '{{"streams": [{{"avg_frame_rate": "{rate}", "duration": "{duration}"}}]}}'"""

    monkeypatch.setenv("PATH", str(tools), prepend=":")
    for probe, decode, message in (
        ("echo '{}'", "exit 1", "found no pictures in it, only sound or text"),
        (streams("25/1", "N/A"), "exit 1", "found a duration of 'N/A'"),
        (streams("25/1", "8.04"), "exit 0", r"found no frame at 4\.000 s"),
        (streams("0/0", "8"), "exit 0", r"found no frame at 4\.000 s"),
        (streams("1/2", "1"), "exit 0", r"found no frame at 0\.000 s"),
        (streams("0/0", "8"), f"echo a >&2; echo file:{root}/v.mp4: bad >&2; exit 1", "found the video: bad"),
    ):
        program("ffprobe", probe)
        program("ffmpeg", decode)
        sources._last_frame.cache_clear()
        with pytest.raises(DataError, match=message):
            read_frame(root / "v.mp4", 0.5)


def test_videos_without_ffmpeg_are_refused_at_once(root, monkeypatch):
    (root / "v.webm").write_bytes(b"a video")
    manifest = write_faces(root / "m.csv", [("a1", "a", "x", "$data_root/v.webm")], root)
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(DataError, match=r"v\.webm: videos need ffmpeg and ffprobe"):
        find_sources([manifest], root, 2)


def test_what_the_manifest_says_of_crops(root):
    rows = [("a1", "a", "x", "$data_root/one.png")]
    manifest = write_faces(root / "m.csv", rows, root)
    assert find_sources([manifest], root, 2, crops=True).chosen[0].quality == {}
    lines = (root / "m.csv").read_text().splitlines()
    (root / "q.csv").write_text(f"{lines[0]},detector_probability\n{lines[1]},0.5\n")
    from cmd_speaker.manifest import load_manifest

    manifest = load_manifest(root / "q.csv", root)
    assert find_sources([manifest], root, 2, crops=True).chosen[0].quality == {"detector_probability": 0.5}
    assert find_sources([manifest], root, 2).chosen[0].quality == {}
    assert np.array_equal(find_sources([manifest], root, 2).chosen[0].read()[0, 0], [10, 20, 30])
