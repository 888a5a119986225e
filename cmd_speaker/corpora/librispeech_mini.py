"""librispeech_mini: two tables beside the audio, a selection of LibriSpeech."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from cmd_speaker.corpora.corpus import CheckRow, Corpus, ExpectedFile, check_listed
from cmd_speaker.kaldi import Listed


def _check_utterance_table(root: Path) -> tuple[list[CheckRow], list[Listed]]:
    """`utterances.csv`, whose speakers stand in `speakers.csv`."""
    files = [root / "speakers.csv", root / "utterances.csv"]
    if not all(file.is_file() for file in files):
        return [], []
    texts = [file.read_text(encoding="utf-8-sig", errors="replace").splitlines() for file in files]
    speakers, utterances = (list(csv.DictReader(lines)) for lines in texts)
    known = {row.get("speaker") for row in speakers}
    found = f"{len(known):,} speakers, {len(utterances):,} utterances"
    unknown = sorted({str(row.get("speaker")) for row in utterances} - {str(name) for name in known})
    if unknown:
        found += f", {len(unknown):,} speakers in utterances.csv only: {', '.join(unknown[:5])}"
    rows = [CheckRow("tables", "tables that fit together", found, "problem" if unknown else "ok")]
    # Row 1 holds the names of the columns.
    return rows, [Listed(files[1], n, row.get("path") or "") for n, row in enumerate(utterances, start=2)]


CORPUS = Corpus(
    name="librispeech_mini",
    title="librispeech_mini (261 LibriSpeech readers)",
    citation="V. Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books, "
    "ICASSP 2015; a selection of 396 utterances",
    tree="""librispeech_mini/
  speakers.csv    speaker,subset,gender,language,n_utterances,n_sessions,seconds
  utterances.csv  path,speaker,session,subset,seconds,source_utterance
  wav/            ls00019/198/19-198-0000.opus ...""",
    files=(
        ExpectedFile(
            "speakers.csv",
            262,
            {"1df59897e7ce908944fb569aaafffb3cd59c832e7002aeaa51eef05a8a4de894": "261 speakers"},
        ),
        ExpectedFile(
            "utterances.csv",
            397,
            {"f4556d2b4303656cd8f33c38bcc96b273c32c4972eefdecbdecc2891f27e4440": "396 utterances"},
        ),
    ),
    check=partial(check_listed, audio_folder="wav", read_lists=_check_utterance_table),
)
