"""The page's layout, and what its buttons call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from cmd_speaker.demo.desk import MAX_MEGABYTES, MAX_SECONDS, Clip, Desk
from cmd_speaker.demo.speaker_map import draw_map
from cmd_speaker.demo.words import (
    describe_clip,
    describe_comparison,
    describe_identification,
    describe_mistake,
    describe_model,
)
from cmd_speaker.errors import CmdSpeakerError, DataError
from cmd_speaker.report.markup import Markup, element

CLIPS = ("A", "B")
Clips = dict[str, Clip]
"""The clips of one visitor by their letters."""
QUEUE: dict[str, Any] = {"concurrency_id": "desk", "concurrency_limit": 1, "api_visibility": "private"}
"""One thing at a time, so that the page shows the registry as it is."""
QUICK: dict[str, Any] = {**QUEUE, "show_progress": "hidden"}
"""What takes no time, so that a display of progress would only flicker."""


class Page:
    """The page of a desk; `build` makes it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def build(self) -> gr.Blocks:
        """The page, which nobody serves yet."""
        with gr.Blocks(analytics_enabled=False, title="Speakers compared", delete_cache=(60, 60)) as page:
            gr.HTML(element("h1", "Speakers compared") + describe_model(self.desk))
            clips = gr.State({})
            gr.HTML(
                element("h2", "Two clips")
                + element(
                    "p", f"Record or upload: wav, flac, ogg, opus or mp3, at most {MAX_SECONDS} s and "
                    f"{MAX_MEGABYTES} MB. The file is deleted once it was heard; nothing leaves this machine.",
                )
            )  # fmt: skip
            inputs = self._inputs()
            compare = gr.Button("Compare A and B", variant="primary")
            result = gr.HTML(elem_id="comparison")
            gr.HTML(element("h2", "Enrol and identify"))
            which, name, names, *buttons, people = self._people()
            gr.HTML(element("h2", "Map of embeddings"))
            shown = gr.HTML(elem_id="map")
            for letter, (audio, said) in inputs.items():
                audio.input(
                    partial(self.take, letter), [audio, clips], [audio, clips, said, shown, result, people],
                    **QUEUE,
                )  # fmt: skip
            compare.click(self.compare, clips, result, **QUICK)
            enrol, identify, forget = buttons
            changed = [people, names, shown]
            enrol.click(self.enrol, [which, name, clips], changed, **QUICK)
            identify.click(self.identify, [which, clips], people, **QUICK)
            forget.click(self.forget, [names, clips], changed, **QUICK)
            page.load(self.look, clips, [names, shown], **QUICK)
        return page

    def _inputs(self) -> dict[str, tuple[gr.Audio, gr.HTML]]:
        found = {}
        with gr.Row():
            for letter in CLIPS:
                with gr.Column():
                    audio = gr.Audio(
                        sources=["upload", "microphone"], type="filepath", label=f"Clip {letter}",
                        buttons=[], editable=False, elem_id=f"clip-{letter}",
                    )  # fmt: skip
                    found[letter] = audio, gr.HTML(elem_id=f"said-{letter}")
        return found

    def _people(self) -> tuple[Any, ...]:
        with gr.Row():
            with gr.Column():
                which = gr.Radio(list(CLIPS), value="A", label="Clip")
                name = gr.Textbox(label="Name", max_lines=1, max_length=100)
                with gr.Row():
                    enrol, identify = gr.Button("Enrol"), gr.Button("Identify")
            with gr.Column():
                names = gr.Dropdown([], label="Enrolled")
                forget = gr.Button("Forget")
        return which, name, names, enrol, identify, forget, gr.HTML(elem_id="people")

    def take(self, letter: str, path: str | None, clips: Clips) -> tuple[Any, ...]:
        """A clip came; its file is deleted whatever becomes of it, and so are answers about the one before."""
        if path is None:
            return None, clips, *(gr.skip() for _ in range(4))
        try:
            clip = self.desk.take(path)
        except CmdSpeakerError as error:
            kept = {other: each for other, each in clips.items() if other != letter}
            return None, kept, describe_mistake(error), self._map(kept), "", ""
        finally:
            Path(path).unlink(missing_ok=True)
        clips = {**clips, letter: clip}
        return None, clips, describe_clip(letter, clip), self._map(clips), "", ""

    def compare(self, clips: Clips) -> str:
        return self._said(
            lambda: describe_comparison(self.desk.compare(*(_clip(clips, letter) for letter in CLIPS)))
        )

    def identify(self, letter: str, clips: Clips) -> str:
        return self._said(lambda: describe_identification(letter, self.desk.identify(_clip(clips, letter))))

    def enrol(self, letter: str, name: str, clips: Clips) -> tuple[Any, ...]:
        def enrolled() -> Markup:
            added = self.desk.enrol(name, _clip(clips, letter))
            words = f"{'is' if added else 'was'} enrolled as {name.strip()}{'' if added else ' before'}"
            own = self.desk.registry.recordings(name)
            words += f", who has {own} recording{'s' if own > 1 else ''}"
            return element("p", f"Clip {letter} {words}.", role="status")

        return self._said(enrolled), *self.look(clips)

    def forget(self, name: str | None, clips: Clips) -> tuple[Any, ...]:
        def forgotten() -> Markup:
            if name is None:
                raise DataError("nobody is chosen", fix="Choose who shall be forgotten under Enrolled")
            self.desk.registry.forget(name)
            return element("p", f"{name} is forgotten, embeddings included.", role="status")

        return self._said(forgotten), *self.look(clips)

    def look(self, clips: Clips) -> tuple[Any, Markup]:
        """Who is enrolled, and the map."""
        names = [speaker.name for speaker in self.desk.registry.speakers()]
        return gr.Dropdown(names, value=None), self._map(clips)

    def _map(self, clips: Clips) -> Markup:
        vectors = {letter: clips[letter].recording.embedding for letter in sorted(clips)}
        return draw_map(self.desk.registry.embeddings(), vectors)

    def _said(self, action: Callable[[], Markup]) -> Markup:
        """What an action says, or what was wrong."""
        try:
            return action()
        except CmdSpeakerError as error:
            return describe_mistake(error)


def _clip(clips: Clips, letter: str) -> Clip:
    if letter not in clips:
        raise DataError(f"there is no clip {letter} yet", fix="Record or upload one")
    return clips[letter]
