"""The demo in a real browser, with real speech where it is at hand: uploads, a microphone, and nothing sent."""

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import read_audio
from cmd_speaker.decision import Decider
from cmd_speaker.model import SpeakerModel
from cmd_speaker.registry import Registry
from tests.conftest import voice, write_audio
from tests.demo import calibrate
from tests.integration.test_calibrated import make_model

pytestmark = pytest.mark.second_stage
ROOT = Path(__file__).resolve().parents[2]
# The command line, telling every name that is looked up and every address that is spoken to.
TELLING = """
import sys
def tell(event, given):
    if event in ("socket.connect", "socket.sendto") or event == "socket.getaddrinfo":
        print("network", given[0] if event == "socket.getaddrinfo" else given[1], file=sys.stderr, flush=True)
sys.addaudithook(tell)
from cmd_speaker.cli import main
main()
"""
OWN = re.compile(r"network (\('127\.0\.0\.1', \d+\)|b?'?(127\.0\.0\.1|localhost)'?|None|0\.0\.0\.0)$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A calibrated MODEL, one without calibration, speech of two people (a1, a2, b1) and files that are none."""
    folder = tmp_path_factory.mktemp("page")
    calibrate(make_model(folder / "MODEL", 0))
    make_model(folder / "plain", 0)
    for name, samples in speech():
        write_audio(folder / name, samples)
    (folder / "text.wav").write_text("no audio at all")
    soundfile.write(folder / "long.flac", 0.1 * np.random.default_rng(0).standard_normal(61 * 8000), 8000)
    soundfile.write(folder / "big.wav", np.zeros((55 * 96000, 2)), 96000)
    return folder


def speech():
    """Names and samples, at most 3 s: real speech, else drawn voices."""
    corpus = ROOT.parent / "shared" / "data" / "librispeech_mini" / "wav"
    people = sorted(corpus.iterdir())[:2] if corpus.is_dir() else []
    for letter, k, count in (("a", 0, 2), ("b", 1, 1)):
        files = sorted(people[k].rglob("*.opus"))[:count] if people else []
        for take in range(count):
            drawn = voice(100 + 120 * k, 1 - 0.2 * k, 3.0, np.random.default_rng(10 * k + take))
            yield f"{letter}{take + 1}.wav", read_audio(files[take])[:48000] if files else drawn


@contextmanager
def serving(folder, temporary, *arguments):
    """The page's address while `cmd-speaker demo ARGUMENTS` runs in `folder`, and the file of what it says."""
    said = temporary / "said.txt"
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with said.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", TELLING, "demo", *arguments], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=err,
        )  # fmt: skip
        try:
            line = process.stdout.readline()
            assert line, said.read_text()
            yield line.split()[0], said
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            process.stdout.close()


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    """The address of a page with the registry PEOPLE, and its folder of temporary files."""
    temporary = tmp_path_factory.mktemp("temporary")
    with serving(folder, temporary, "MODEL", "--registry", "PEOPLE") as (address, said):
        yield address, temporary
        assert [line for line in said.read_text().splitlines() if line.startswith("network")]
    spoken = {line for line in said.read_text().splitlines() if line.startswith("network")}
    assert [line for line in spoken if not OWN.match(line)] == []
    # What was uploaded is gone with the server.
    assert list(temporary.iterdir()) == [said]


@pytest.fixture
def open_page(launch, folder):
    """`open_page(address, width, scheme)`; in the end it has asked nobody else for anything."""
    browser = launch(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'b1.wav'}",
    )  # fmt: skip
    asked = []

    def open_at(address, width=1000, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, permissions=["microphone"],
            bypass_csp=False,
        )  # fmt: skip
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("heading", name="Map of embeddings").wait_for()
        page.locator("#map p, #map svg").first.wait_for()
        return page

    yield open_at
    browser.close()
    assert asked
    assert {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} == {
        "127.0.0.1"
    }


def give(page, letter, path):
    """Upload a clip; what the page then says of it."""
    before = page.locator(f"#said-{letter}").inner_text()
    page.locator(f"#clip-{letter} input[type=file]").set_input_files(path)
    said = page.locator(f"#said-{letter}")
    page.wait_for_function(
        "([id, before, name]) => { const now = document.getElementById(id).innerText; "
        "return now !== before && now.includes(name) }",
        arg=[f"said-{letter}", before, path.name],
    )
    return said.inner_text()


def press(page, name, place):
    """Press a button; what is then said in `place`."""
    said = page.locator(f"{place} .prose")
    if said.count():
        said.evaluate("said => [...said.children].forEach(child => child.dataset.old = 1)")
    page.get_by_role("button", name=name, exact=True).click()
    page.locator(f"{place} .prose > :not([data-old])").first.wait_for()
    return said.inner_text()


def files_of(temporary):
    return [path for path in temporary.rglob("*") if path.is_file() and path.name != "said.txt"]


def test_two_clips_are_compared(server, open_page, folder):
    page = open_page(server[0])
    assert "no clip A" in press(page, "Compare A and B", "#comparison")
    for letter, name in (("A", "a1.wav"), ("B", "b1.wav")):
        seconds = soundfile.info(folder / name).duration
        assert give(page, letter, folder / name) == f"Clip {letter}: {name}, {seconds:.1f} s"
    said = press(page, "Compare A and B", "#comparison")
    model = SpeakerModel.load(folder / "MODEL")
    sides = [model.recording(folder / name) for name in ("a1.wav", "b1.wav")]
    found = Decider.load(folder / "MODEL", model.checksum).compare([sides[:1]], sides[1])
    assert f"{found.scores[0]:.4f}" in said
    assert f"{found.llrs[0]:+.2f}" in said
    assert "1.39 at prior 0.2" in said
    assert ("Same speaker" if found.llrs[0] >= np.log(4) else "Different speakers") in said
    give(page, "B", folder / "a1.wav")
    page.wait_for_function("document.getElementById('comparison').innerText.trim() === ''")
    assert "Same speaker" in press(page, "Compare A and B", "#comparison")
    assert files_of(server[1]) == []


def test_a_clip_is_recorded(server, open_page, folder):
    page = open_page(server[0])
    page.locator("#clip-A").get_by_role("button", name="Record audio").click()
    page.locator("#clip-A").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2500)
    page.locator("#clip-A").get_by_role("button", name="Stop").first.click()
    page.locator("#said-A audio").wait_for()
    seconds = float(re.search(r"([\d.]+) s", page.locator("#said-A").inner_text()).group(1))
    assert 1 < seconds < 10
    give(page, "B", folder / "b1.wav")
    # The fake microphone plays b1.wav.
    assert "Score" in press(page, "Compare A and B", "#comparison")
    assert files_of(server[1]) == []


def test_enrol_identify_forget(server, open_page, folder):
    page = open_page(server[0])
    give(page, "A", folder / "a1.wav")
    give(page, "B", folder / "b1.wav")
    for name, letter in (("Ada", "A"), ("<b>Ben</b>", "B")):
        page.get_by_label("Name").fill(name)
        page.get_by_label(letter, exact=True).check()
        assert f"is enrolled as {name}" in press(page, "Enrol", "#people")
    give(page, "A", folder / "a1.wav")
    page.get_by_label("A", exact=True).check()
    said = press(page, "Identify", "#people")
    assert said.splitlines()[0] == "Ada"
    assert "against 2 enrolled; threshold 2.08 at prior 0.2" in said
    assert page.locator("#people tbody th").all_inner_texts() == ["Ada", "<b>Ben</b>"]
    assert {"Ada", "<b>Ben</b>", "clip A and clip B"} <= set(page.locator("#map li").all_inner_texts())
    assert page.locator("#map svg[role=img]").get_attribute("aria-labelledby") == "map-title"
    with Registry.open(folder / "PEOPLE") as registry:
        assert [speaker.name for speaker in registry.speakers()] == ["Ada", "<b>Ben</b>"]
    page.get_by_label("Enrolled").click()
    page.get_by_role("option", name="Ada").click()
    assert "Ada is forgotten" in press(page, "Forget", "#people")
    with Registry.open(folder / "PEOPLE") as registry:
        assert [speaker.name for speaker in registry.speakers()] == ["<b>Ben</b>"]
    assert "nobody is chosen" in press(page, "Forget", "#people")


def test_bad_clips_are_told_in_words_and_deleted(server, open_page, folder):
    page = open_page(server[0])
    assert "not readable as audio" in give(page, "A", folder / "text.wav")
    said = give(page, "A", folder / "long.flac")
    assert "at most 60 s" in said
    assert str(server[1]) not in said
    assert page.locator("#said-A [role=alert]").count() == 1
    page.locator("#clip-A input[type=file]").set_input_files(folder / "big.wav")
    page.get_by_test_id("toast-text").wait_for()
    assert "maximum allowed size of 20.0 Mb" in page.get_by_test_id("toast-text").inner_text()
    assert files_of(server[1]) == []


def test_a_large_file_is_refused_by_the_server_too(server, folder):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.wav"\r\n\r\n'
    request = urllib.request.Request(
        f"{server[0]}gradio_api/upload", body + (folder / "big.wav").read_bytes() + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 413
    assert files_of(server[1]) == []


def test_pages_from_elsewhere_cannot_pose_as_it(server):
    with urllib.request.urlopen(server[0]) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    request = urllib.request.Request(server[0], headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    request = urllib.request.Request(
        f"{server[0]}gradio_api/upload", b"--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x", "Origin": "https://evil.example"},
    )  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(server, open_page, folder, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(server[0], 360, scheme)
    give(page, "A", folder / "a1.wav")
    give(page, "B", folder / "b1.wav")
    press(page, "Compare A and B", "#comparison")
    page.get_by_label("Name").fill(f"{scheme}-Wolfeschlegelsteinhausenbergerdorffwelchevoraltern")
    press(page, "Enrol", "#people")
    press(page, "Identify", "#people")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ends = page.locator("th, td, caption, li").evaluate_all(
        "all => all.map(x => x.getBoundingClientRect().right)"
    )
    assert max(ends) <= 360, "nothing is cut off"
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []


def test_without_a_calibration_it_says_why_there_is_no_decision(open_page, folder, tmp_path):
    with serving(folder, tmp_path, "plain") as (address, _):
        page = open_page(address)
        assert "the model folder has no calibration" in page.locator("body").inner_text()
        give(page, "A", folder / "a1.wav")
        give(page, "B", folder / "a2.wav")
        said = press(page, "Compare A and B", "#comparison")
        assert said.splitlines()[0] == "No decision"
        assert "Score" in said
        assert "LLR" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["said.txt"]


def test_a_taken_port_is_an_error_in_words(server, folder, tmp_path):
    port = str(urlsplit(server[0]).port)
    command = "from cmd_speaker.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "demo", "plain", "--port", port], cwd=folder, text=True,
        capture_output=True, env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert f"no page on 127.0.0.1, port {port}" in done.stderr


def test_the_commands_of_its_page(folder, tmp_path):
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("cmd-speaker demo")]
    assert len(commands) == 2
    for command in commands:
        with (
            serving(folder, tmp_path, *command[2:]) as (address, _),
            urllib.request.urlopen(address) as answer,
        ):
            assert b"Speakers compared" in answer.read()
