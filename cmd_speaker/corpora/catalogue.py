"""The corpora that are known by name. A new one is a module with its `CORPUS`, and a line here."""

from __future__ import annotations

import difflib

from cmd_speaker.corpora import cnceleb, folder, librispeech_mini, speechocean762, voxceleb
from cmd_speaker.corpora.corpus import Corpus
from cmd_speaker.errors import UsageError

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        cnceleb.CORPUS,
        folder.CORPUS,
        librispeech_mini.CORPUS,
        speechocean762.CORPUS,
        voxceleb.CORPUS,
    )
}


def find_corpus(name: str) -> Corpus:
    """The corpus of that name; raises `UsageError` with the known names, and the one probably meant."""
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower(), CORPORA, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"unknown data set '{name}'; known: {', '.join(sorted(CORPORA))}.{meant}")
