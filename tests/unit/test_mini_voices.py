"""The voices of Mini: what the synthesiser says, how sessions record it, who the speakers are."""

import json
import os
import subprocess
import sys

import espeakng_loader  # only to look up its voices: the corpus itself never imports it
import numpy as np
import pytest
from scipy.signal import correlate

from cmd_speaker.errors import DataError
from data_prep.mini import voices
from data_prep.mini.recording import Session, draw_session, record
from data_prep.mini.sentences import draw_sentence
from data_prep.mini.speakers import VARIANTS, describe, draw_speakers
from data_prep.mini.voices import Sentence, speak

SAID = Sentence("Nobody noticed the garden fence.", 50, 170, 0)


def pitch_of(wave):
    """Median fundamental frequency in Hz, by the autocorrelation of frames of 64 ms."""
    found = []
    for start in range(0, len(wave) - 1024, 512):
        frame = wave[start : start + 1024] - wave[start : start + 1024].mean()
        likeness = correlate(frame, frame, "full")[1023:]
        lag = 40 + int(np.argmax(likeness[40:300]))
        if likeness[lag] > 0.6 * likeness[0] > 0:
            found.append(16000 / lag)
    return float(np.median(found))


def loud(wave):
    return np.sqrt(np.mean(np.square(wave)))


def test_the_same_request_is_said_in_the_same_bits_and_another_is_not():
    first, again = (speak("f3", 1.0, [SAID, SAID]) for _ in range(2))
    other = speak("f2", 1.0, [SAID])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(first) == 2
    assert first[0].dtype == np.float32
    assert len(other[0]) != len(first[0]) or not np.array_equal(other[0], first[0])


def test_a_sentence_is_said_at_16_khz_and_its_rate():
    slow, fast = speak("m3", 1.0, [Sentence(SAID.text, 50, 120, 50), Sentence(SAID.text, 50, 240, 50)])
    # Five words; espeak-ng pauses at the end.
    assert 1.2 < len(slow) / 16000 < 4.5
    assert len(fast) < 0.7 * len(slow)


def test_pitch_rises_with_the_setting():
    low, high = speak("m3", 1.0, [Sentence(SAID.text, 20, 170, 0), Sentence(SAID.text, 80, 170, 0)])
    assert pitch_of(high) > 1.3 * pitch_of(low)


def test_a_longer_vocal_tract_lowers_the_voice_by_as_much_and_keeps_the_pace():
    (usual,), (long,) = speak("m3", 1.0, [SAID]), speak("m3", 1.15, [SAID])
    assert pitch_of(usual) / pitch_of(long) == pytest.approx(1.15, rel=0.03)
    assert len(long) / len(usual) == pytest.approx(1, abs=0.12)


def test_resampling_keeps_a_tone_and_its_level():
    time = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    resampled = voices._resample(tone, 16000 / 22050)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(resampled) == 16000
    assert np.abs(resampled - expected)[500:-500].max() < 0.01


def test_an_unknown_voice_and_a_missing_synthesiser_are_errors_that_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no voice variant 'nobody"):
        speak("nobody at all", 1.0, [SAID])
    broken = tmp_path / "synthesiser.py"
    broken.write_text("import espeakng_loader_that_is_not_installed\n")
    monkeypatch.setattr(voices, "SYNTHESISER", broken)
    with pytest.raises(DataError, match=r"not installed.*cmd-speaker\[mini\]"):
        speak("f3", 1.0, [SAID])


def test_espeak_starts_where_its_data_lie_deep(tmp_path):
    import shutil
    from pathlib import Path

    deep = tmp_path / ("a" * 80) / ("b" * 80)
    shutil.copytree(Path(espeakng_loader.__file__).parent, deep / "espeakng_loader")
    environment = {**os.environ, "PYTHONPATH": str(deep)}
    request = {"language": "en-us", "variant": "f3", "sentences": [vars(SAID)]}
    said = subprocess.run(
        [sys.executable, "-P", str(voices.SYNTHESISER)], input=json.dumps(request).encode(), env=environment,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert len(said) > 4 + 2 * voices.SYNTHESISER_RATE


def test_the_synthesiser_stays_in_its_own_process():
    before = sys.modules.pop("espeakng_loader")
    try:
        speak("f3", 1.0, [SAID])
        assert "espeakng_loader" not in sys.modules
    finally:
        sys.modules["espeakng_loader"] = before


def test_every_variant_is_installed_and_in_one_part_only():
    from pathlib import Path

    installed = {path.name for path in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir()}
    parts = [[name for names in sexes.values() for name in names] for sexes in VARIANTS.values()]
    every = [name for names in parts for name in names]
    assert len(every) == len(set(every)) > 90
    assert set(every) <= installed


def test_speakers_are_drawn_from_the_seed_half_of_them_women_with_variants_of_their_sex():
    speakers = draw_speakers("train", 120, 1)
    assert speakers == draw_speakers("train", 120, 1) != draw_speakers("train", 120, 2)
    assert [s.sex for s in speakers].count("female") == 60
    assert all(s.variant in VARIANTS["train"][s.sex] for s in speakers)
    assert len({s.id for part in VARIANTS for s in draw_speakers(part, 20, 1)}) == 60


def test_the_speakers_of_two_parts_share_no_variant():
    drawn = {part: {s.variant for s in draw_speakers(part, 120, 1)} for part in VARIANTS}
    assert not drawn["train"] & (drawn["valid"] | drawn["test"])
    assert not drawn["valid"] & drawn["test"]


def test_size_and_energy_show_in_the_voice():
    speakers = draw_speakers("train", 400, 1)

    def correlation(a, b):
        return np.corrcoef([getattr(s, a) for s in speakers], [getattr(s, b) for s in speakers])[0, 1]

    assert correlation("size", "tract") > 0.8
    assert correlation("size", "pitch") < -0.5
    assert correlation("energy", "rate") > 0.7


def test_descriptions_are_words_about_the_person_and_name_nobody():
    speakers = draw_speakers("train", 120, 1)
    texts = {describe(s) for s in speakers}
    assert len(texts) > 100
    names = {name.lower() for sexes in VARIANTS.values() for group in sexes.values() for name in group}
    for text in texts:
        words = {word.strip(".,").lower() for word in text.split()}
        assert not words & (names - {"fast", "max"})
        assert not any(character.isdigit() for character in text)


def test_sentences_vary():
    rng = np.random.default_rng(0)
    sentences = [draw_sentence(rng) for _ in range(500)]
    assert len(set(sentences)) > 495
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)


def test_a_recording_has_the_level_and_the_noise_of_its_session():
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(32000).astype(np.float32)
    session = Session(response=np.array([1.0]), snr=10.0, slope=0.0, level=-20.0)
    recorded = record(wave, session, rng)
    share = np.dot(recorded, wave) / np.dot(wave, wave)
    noise = recorded - share * wave
    assert 20 * np.log10(loud(recorded)) == pytest.approx(-20, abs=0.05)
    assert 20 * np.log10(share * loud(wave) / loud(noise)) == pytest.approx(10, abs=0.3)
    assert len(recorded) == len(wave)


def test_noise_falls_by_its_slope():
    rng = np.random.default_rng(0)
    quiet = 1e-6 * rng.standard_normal(160000).astype(np.float32)
    recorded = record(quiet, Session(np.array([1.0]), snr=-60.0, slope=-6.0, level=-20.0), rng)
    power = np.abs(np.fft.rfft(recorded)) ** 2
    octave = [power[low * 10 : 2 * low * 10].mean() for low in (500, 1000, 2000)]
    falls = 10 * np.log10(np.array(octave[:-1]) / octave[1:])
    assert falls == pytest.approx(6, abs=0.5)


def test_rooms_and_microphones_differ_from_session_to_session():
    rng = np.random.default_rng(0)
    first, second = draw_session(rng), draw_session(rng)
    impulse = np.zeros(8000, dtype=np.float32)
    impulse[0] = 1
    heard = [record(impulse, Session(s.response, 60.0, 0.0, -40.0), rng) for s in (first, second)]
    assert abs(np.corrcoef(*heard)[0, 1]) < 0.98
    # Reverberation: there is sound after the impulse, and it dies away.
    assert loud(heard[0][400:1200]) > 3 * loud(heard[0][-800:])
