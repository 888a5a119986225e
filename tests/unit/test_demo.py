"""What the demo does and says, without its page."""

import re
import socket
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from cmd_speaker.cli import demo as command
from cmd_speaker.demo import desk as module
from cmd_speaker.demo import server, speaker_map, words
from cmd_speaker.demo.desk import Desk
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.model import SpeakerModel
from tests.conftest import voice, write_audio
from tests.demo import calibrate
from tests.integration.test_calibrated import make_model
from tests.refusals import refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with and one without calibration, and two recordings of each of three voices."""
    folder = tmp_path_factory.mktemp("demo")
    calibrate(make_model(folder / "calibrated", 0))
    make_model(folder / "plain", 0)
    for speaker in range(3):
        for k in range(2):
            rng = np.random.default_rng(10 * speaker + k)
            write_audio(folder / f"s{speaker}_{k}.wav", voice(95 + 70 * speaker, 1.0, 1.5, rng))
    return folder


@pytest.fixture
def desk(folder, tmp_path):
    desk = Desk(folder / "calibrated", tmp_path / "people")
    yield desk
    desk.registry.close()


def test_two_clips_are_compared_as_verify_does(desk, folder):
    a, b = (desk.take(folder / name) for name in ("s0_0.wav", "s2_0.wav"))
    found = desk.compare(a, b)
    score = SpeakerModel.load(folder / "plain").similarity(folder / "s0_0.wav", folder / "s2_0.wav")
    assert found.score == pytest.approx(score, abs=1e-6)
    assert found.llr == pytest.approx(20 * score - 16, abs=1e-4)
    assert found.threshold == pytest.approx(np.log(4))
    assert (found.same_speaker, desk.compare(a, a).same_speaker) == (20 * score - 16 >= np.log(4), True)
    said = words.describe_comparison(desk.compare(a, a))
    assert "Same speaker" in said
    assert "+4.00" in said
    assert "1.39 at prior 0.2" in said


def test_the_operating_point_moves_the_threshold(folder, tmp_path):
    desk = Desk(folder / "calibrated", tmp_path / "people", OperatingPoint(0.5, 1, 1000))
    clip = desk.take(folder / "s0_0.wav")
    found = desk.compare(clip, clip)
    assert (found.threshold, found.same_speaker) == (pytest.approx(np.log(1000)), False)
    assert "Different speakers" in words.describe_comparison(found)


def test_without_a_calibration_there_is_a_score_only(folder, tmp_path):
    desk = Desk(folder / "plain", tmp_path / "people")
    clip = desk.take(folder / "s0_0.wav")
    said = words.describe_comparison(desk.compare(clip, clip))
    assert "1.0000" in said
    assert "without a calibration no decision follows" in said
    assert "LLR" not in said
    assert "has no calibration" in words.describe_model(desk)
    assert refused(lambda: Desk(folder / "plain", tmp_path / "people", OperatingPoint(0.5)), "--point")


def test_enrolled_identified_forgotten(desk, folder):
    clips = [desk.take(folder / f"s{speaker}_0.wav") for speaker in range(3)]
    assert refused(lambda: desk.identify(clips[0]), "nobody is enrolled")
    for name, clip in zip(("Ada", "Ben <b>"), clips, strict=False):
        assert desk.enrol(name, clip) == 1
    assert desk.enrol("Ada", clips[0]) == 0
    found = desk.identify(clips[0])
    assert (found.name, found.threshold) == ("Ada", pytest.approx(np.log(4) + np.log(2)))
    said = words.describe_identification("A", found)
    assert ">Ada<" in said
    assert "<b>" not in said
    assert desk.registry.embeddings()["Ada"].shape == (1, 24)
    recording = desk.model.recording(folder / "s1_0.wav")
    np.testing.assert_array_equal(desk.registry.embeddings()["Ben <b>"], recording.embedding[None])
    desk.registry.forget("Ada")
    assert list(desk.registry.embeddings()) == ["Ben <b>"]
    assert refused(lambda: desk.enrol("  ", clips[0]), "name")


def test_any_rate_and_channels_are_heard(desk, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal((3 * 44100, 2))
    soundfile.write(tmp_path / "stereo.flac", noise, 44100)
    clip = desk.take(tmp_path / "stereo.flac")
    assert (clip.name, clip.recording.seconds, clip.samples.shape) == ("stereo.flac", 3.0, (48000,))


def test_bad_clips_are_refused_by_their_names_alone(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_SECONDS", 2)
    soundfile.write(tmp_path / "long.wav", np.full(2 * 8000 + 1, 0.1), 8000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "text.wav").write_text("no audio")
    for name, why in (("long.wav", "at most 2 s"), ("silent.wav", "silent"), ("text.wav", "not readable")):
        error = refused(lambda name=name: desk.take(tmp_path / name), name, why)
        assert str(tmp_path) not in str(error)
        assert 'role="alert"' in words.describe_mistake(error)


@pytest.mark.parametrize(("rate", "channels"), [(2_000_000_000, 1), (192_001, 1), (48_000, 17)])
def test_small_files_that_would_fill_the_memory_are_refused(desk, tmp_path, rate, channels):
    soundfile.write(tmp_path / "x.wav", np.full((9600, channels), 0.1), rate)
    said = f"{channels} channels and {rate:,} Hz"
    assert refused(lambda: desk.take(tmp_path / "x.wav"), "x.wav", "at most 16 channels", said)


def test_a_file_that_two_people_give_at_once(desk, folder, tmp_path):
    """The server keeps the same bytes once: who comes second is asked to give them again."""
    page = pytest.importorskip("cmd_speaker.demo.page").Page(desk)
    path = tmp_path / "a.wav"
    path.write_bytes((folder / "s0_0.wav").read_bytes())
    _, first, said, _, *answers = page.take("A", str(path), {})
    assert (list(first), "Clip A: a.wav" in said, answers) == (["A"], True, ["", ""])
    assert not path.exists()
    _, second, said, *_ = page.take("A", str(path), first)
    assert second == {}
    assert "a.wav: the file is gone. Give it again" in said
    assert str(tmp_path) not in said


def test_the_player_holds_what_the_model_heard(desk, folder):
    import base64
    import io

    clip = desk.take(folder / "s0_0.wav")
    said = words.describe_clip("A", clip)
    data = base64.b64decode(re.search('base64,([^"]+)"', said).group(1))
    np.testing.assert_allclose(soundfile.read(io.BytesIO(data))[0], clip.samples, atol=2**-15)


def test_the_map_is_the_plane_of_largest_variance():
    """Four unit vectors: two at +-0.6 along x, two at +-0.5 along y."""
    points = np.array([[0.6, 0, 0.8], [-0.6, 0, 0.8], [0, 0.5, 0.75**0.5], [0, -0.5, 0.75**0.5]])
    projection = speaker_map.project((5 * points).astype(np.float32))
    # Their lengths do not count. x varies by 2 * 0.36, y by 2 * 0.25, z by 4 * ((0.8 - sqrt 0.75) / 2) ** 2.
    x, y, z = 0.72, 0.5, (0.8 - 0.75**0.5) ** 2
    assert projection.shares == pytest.approx((x / (x + y + z), y / (x + y + z)), rel=1e-5)
    np.testing.assert_allclose(np.abs(projection.places[:, 0]), [0.6, 0.6, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.abs(projection.places[:, 1]), [0, 0, 0.5, 0.5], atol=1e-6)
    assert projection.places.max(axis=0) == pytest.approx([0.6, 0.5], abs=1e-6)


def test_two_equal_embeddings_have_a_place():
    projection = speaker_map.project(np.ones((2, 3), np.float32))
    assert projection.places.tolist() == [[0, 0], [0, 0]]
    assert projection.shares == (0, 0)


def test_speakers_differ_by_more_than_colour():
    rng = np.random.default_rng(0)
    speakers = {f"p{k}": rng.standard_normal((2, 5)) for k in range(12)}
    drawn = speaker_map.draw_map(speakers, {"A": rng.standard_normal(5)})
    legend = re.findall('class="marker ([^"]*)" d="([^"]*)"', drawn.split("<ul")[1])
    assert len(legend) == 13
    assert len(set(legend)) == 13
    for place, (style, shape) in enumerate(legend[:12]):
        alike = [other for other, (_, form) in enumerate(legend[:12]) if form == shape and other != place]
        assert all(("full" in legend[other][0]) != ("full" in style) for other in alike)
    assert "clip A" in drawn
    assert 'role="img"' in drawn


def test_of_many_speakers_the_nearest_are_named():
    speakers = {f"p{k}": np.array([[np.cos(k / 10), np.sin(k / 10)]]) for k in range(20)}
    drawn = speaker_map.draw_map(speakers, {"A": np.array([1.0, 0.0])})
    named = re.findall(r"<span>(p\d+)</span>", drawn)
    assert named == [f"p{k}" for k in range(12)]
    assert "8 others" in drawn
    assert "needs two embeddings" in speaker_map.draw_map({}, {"A": np.ones(2)})


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_which_hosts_are_this_machine_only(host, own):
    assert server.is_loopback(host) is own


@pytest.mark.parametrize(
    ("asked", "origin", "status"),
    [
        ("127.0.0.1:7860", None, 200),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", 200),
        ("localhost:9000", "http://localhost:9000", 200),  # through a tunnel
        ("[::1]:7860", "http://[::1]:7860", 200),
        ("evil.example", None, 400),
        ("evil.example", "http://evil.example", 400),
        ("127.0.0.1:7860", "https://evil.example", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:3000", 403),
        ("127.0.0.1:7860", "null", 403),
    ],
)
def test_other_pages_are_kept_out(asked, origin, status):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    upload = Route("/upload", lambda _: PlainTextResponse("done"), methods=["POST"])
    client = TestClient(Starlette(routes=[upload], middleware=server._middleware("127.0.0.1")))
    headers = {"Host": asked} | ({"Origin": origin} if origin else {})
    assert client.post("/upload", headers=headers).status_code == status


def test_where_nothing_can_listen(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        for host, port in (("127.0.0.1", number), ("256.256.256.256", None), ("nowhere.invalid", 80)):
            with pytest.raises(UsageError, match=f"no page on {host}"):
                server.serve(tmp_path, host=host, port=port).__enter__()


@pytest.mark.parametrize(("host", "warned"), [(None, False), ("0.0.0.0", True)])
def test_another_host_is_warned_of(monkeypatch, capsys, tmp_path, host, warned):
    asked = {}

    @contextmanager
    def serve(model, registry, **options):
        asked.update(options)
        yield SimpleNamespace(local_url="http://here/")

    def end(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(command.time, "sleep", end)
    caught = []
    monkeypatch.setattr(command.signal, "getsignal", lambda _: command.signal.SIG_DFL)
    monkeypatch.setattr(command.signal, "signal", lambda number, _: caught.append(number.name))
    with pytest.raises(KeyboardInterrupt):
        command.demo(tmp_path, **({"host": host} if host else {}))
    out, err = capsys.readouterr()
    assert (asked["host"], "without a password" in err) == (host or "127.0.0.1", warned)
    assert "http://here/" in out
    assert caught == ["SIGTERM", "SIGHUP"]


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(DataError, match="not a model folder"):
        Desk(tmp_path, tmp_path / "people")
