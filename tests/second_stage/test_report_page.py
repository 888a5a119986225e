"""The report in a real browser: readable, reachable by keyboard, of sufficient contrast, and inert."""

import json

import numpy as np
import pytest

from cmd_speaker.report import write_report
from cmd_speaker.report.evaluate import Question, evaluate_scores

pytestmark = pytest.mark.second_stage
WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")
PAGES = ("raw", "calibrated")
HOSTILE = (
    "<script>document.title='hit'</script>",
    "\"><img/src=x/onerror=document.title='hit'>",
    "</style><b>b",
)
# The contrast of every text with what is behind it, by WCAG 2: (lighter + 0.05) / (darker + 0.05) of relative
# luminances. Nothing on the page is translucent, so the nearest background that is not transparent counts.
CONTRAST = """() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = numbers(color).slice(0, 3).map(x => x / 255)
      .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (numbers(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, name = node.tagName;
    if (!walk.currentNode.data.trim() || ["title", "desc"].includes(name)) continue;
    if (!node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [name === "text" ? style.fill : style.color, behind(node)].map(luminance);
    found.push([walk.currentNode.data, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""

# Of every text of a drawing: what it says, its height, whether it lies within the drawing, and its edges.
TEXTS = """svg => {
  const all = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].map(text => {
    const b = text.getBoundingClientRect();
    const inside = b.left >= all.left && b.right <= all.right && b.top >= all.top && b.bottom <= all.bottom;
    return [text.textContent, b.height, inside, b.left, b.right, b.top, b.bottom];
  });
}"""


@pytest.fixture(scope="module")
def browser(launch):
    return launch()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Two reports by name: one raw system without speakers, with hostile ids; and three calibrated ones."""
    folder = tmp_path_factory.mktemp("reports")
    rng = np.random.default_rng(1)
    names = [f"id{speaker:02d}/session{take}/utterance.wav" for speaker in range(12) for take in range(3)]
    names[:3] = HOSTILE
    people = dict(zip(names, [f"id{k // 3:02d}" for k in range(36)], strict=True))
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    paths = []
    for name, step in (("a", 4.0), ("b", 5.0), ("c", 3.0)):
        scores = [step * (people[a] == people[b]) - 2 + 1.3 * rng.normal() for a, b in pairs]
        lines = [
            f"{a} {b} {s:.6f} {int(people[a] == people[b])}\n"
            for (a, b), s in zip(pairs, scores, strict=True)
        ]
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text("".join(lines))
    (folder / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in people.items()))
    rows = [f"{speaker},{'f' if k < 5 else 'm'}\n" for k, speaker in enumerate(sorted(set(people.values())))]
    (folder / "speakers.csv").write_text("spk_id,gender\n" + "".join(rows))
    known = {"speakers": folder / "utt2spk", "metadata": [folder / "speakers.csv"], "columns": ["gender"]}
    questions = {
        "raw": (paths[:1], Question(keep=True)),
        "calibrated": (paths, Question(keep=True, llr=True, replicates=50, **known)),
    }
    for name, (files, question) in questions.items():
        write_report(folder / f"{name}.html", evaluate_scores(files, question))
    return {name: folder / f"{name}.html" for name in questions}


@pytest.fixture
def show(browser):
    """A function `(page, width, scheme) -> page of the browser`; at the end it has said and fetched nothing."""
    contexts, said, fetched = [], [], []

    def open_page(path, width=1280, scheme="light", **options):
        size = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(path.as_uri())
        assert fetched.pop(0) == path.as_uri()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (said, fetched) == ([], [])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_no_width_scrolls_the_page_sideways(show, pages, name, width):
    page = show(pages[name], width)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is wider than the screen scrolls within its own region; nothing else sticks out.
    outside = page.evaluate(
        "width => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && "
        "e.getBoundingClientRect().right > width + 0.5).map(e => e.outerHTML.slice(0, 100))",
        width,
    )
    assert outside == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_drawings_are_legible_and_named(show, pages, name, width):
    page = show(pages[name], width)
    drawings = page.locator("svg:not([aria-hidden=true])")
    assert drawings.count() == {"raw": 2, "calibrated": 7}[name]
    for k in range(drawings.count()):
        drawing = drawings.nth(k)
        assert drawing.get_attribute("role") == "img"
        title, described = (drawing.get_attribute(f"aria-{what}") for what in ("labelledby", "describedby"))
        assert page.locator(f"[id='{title}']").text_content().strip()
        assert len(page.locator(f"[id='{described}']").text_content()) > 40
        boxes = drawing.evaluate(TEXTS)
        assert all(height >= 11 and inside for _, height, inside, *_ in boxes), boxes
        overlaps = [
            (a[0], b[0])
            for i, a in enumerate(boxes)
            for b in boxes[i + 1 :]
            if a[3] < b[4] and b[3] < a[4] and a[5] + 2 < b[6] and b[5] + 2 < a[6]
        ]
        assert overlaps == []
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_every_text_has_contrast(show, pages, name, scheme):
    page = show(pages[name], 360, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = page.evaluate(CONTRAST)
    assert len(found) > 200
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    grounds = {page.evaluate("getComputedStyle(document.body).backgroundColor")}
    assert grounds == {{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(show, pages, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = show(pages[name], 360, scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []


def test_the_keyboard_reaches_every_region(show, pages):
    page = show(pages["calibrated"], 360)
    regions = page.locator(".scroll:visible")
    names = {regions.nth(k).get_attribute("aria-labelledby") for k in range(regions.count())}
    reached, ringed = set(), 0
    for _ in range(120):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const at = document.activeElement; "
            "return [at.getAttribute('aria-labelledby'), getComputedStyle(at).outlineStyle] }"
        )
        reached.add(name)
        ringed += outline == "solid"
    assert names <= reached
    assert ringed >= len(names)
    for region in (regions.nth(k) for k in range(regions.count())):
        assert region.get_attribute("role") == "region"
        if region.evaluate("r => r.scrollWidth > r.clientWidth"):
            region.focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_function("r => r.scrollLeft > 0", arg=region.element_handle())
            break
    else:
        pytest.fail("no region was wide enough to scroll")


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_the_figures_of_its_json(show, pages, name):
    page, data = show(pages[name]), json.loads(pages[name].with_suffix(".json").read_text())
    table = page.locator("table", has=page.locator("caption", has_text="Error rates and costs"))
    rows = {row[0]: row[1:] for row in table.evaluate(
        "t => [...t.rows].map(r => [...r.cells].map(c => c.textContent))")}  # fmt: skip
    assert rows["measure"] == [system["name"] for system in data["systems"]]
    for k, system in enumerate(data["systems"]):
        eer, low, high = (system[key] for key in ("eer", "eer_low", "eer_high"))
        expected = f"{100 * eer:.2f} %" + ("" if low is None else f" [{100 * low:.2f}, {100 * high:.2f}]")
        assert rows["EER"][k] == expected
        assert rows["minDCF(0.01)"][k].startswith(f"{system['min_dcf_001']:.3f}")
        assert rows["targets"][k] == f"{system['targets']:,}"
        if system["cllr"] is not None:
            assert rows["Cllr"][k].startswith(f"{system['cllr']:.3f}")
    shown = page.locator("section#facts").inner_text()
    assert all(text in shown for text in data["facts"].values())


def test_hostile_ids_are_only_text(show, pages):
    page = show(pages["raw"])
    assert page.title().startswith("Speaker verification")
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    cells = page.locator("section#worst td").all_text_contents()
    everything = json.loads(pages["raw"].with_suffix(".json").read_text())["systems"][0]["worst"]
    ids = {trial[side] for trials in everything.values() for trial in trials for side in ("enrol", "test")}
    assert ids & set(HOSTILE)
    assert ids <= set(cells)


def test_every_table_has_a_caption_and_headers(show, pages):
    page = show(pages["calibrated"])
    assert page.evaluate("[...document.querySelectorAll('table')].every(t => t.caption.textContent.trim())")
    assert page.evaluate(
        "[...document.querySelectorAll('tr')].every(r => r.cells[0].tagName === 'TH' && r.cells[0].scope)"
    )


def test_it_prints_dark_on_white(show, pages, tmp_path):
    page = show(pages["calibrated"], 768, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert [text for text, ratio in page.evaluate(CONTRAST) if ratio < 4.5] == []
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
