"""speechocean762: Kaldi folders `train` and `test` beside the audio."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cmd_speaker.corpora.corpus import CheckRow, Corpus, ExpectedFile, check_listed
from cmd_speaker.errors import CmdSpeakerError
from cmd_speaker.kaldi import TABLES, Listed, list_audio, read_parts


def _check_parts(root: Path) -> tuple[list[CheckRow], list[Listed]]:
    """Kaldi folders `train` and `test`: tables that fit together, no speaker in both."""
    expected = "complete and disjoint parts"
    try:
        parts = read_parts(root)
    except CmdSpeakerError as error:
        return [CheckRow("tables", expected, str(error), "problem")], []
    rows = []
    for part, tables in parts.items():
        found = f"{len(set(tables['utt2spk'].values())):,} speakers, {len(tables['utt2spk']):,} utterances"
        rows.append(CheckRow(f"{part} tables", expected, found, "ok"))
    return rows, list_audio(root, parts)


CORPUS = Corpus(
    name="speechocean762",
    title="speechocean762 (250 non-native English readers)",
    citation="J. Zhang et al., speechocean762: An Open-Source Non-native English Speech Corpus For "
    "Pronunciation Assessment, Interspeech 2021 (OpenSLR 101)",
    tree="""speechocean762/
  train/  wav.scp utt2spk text spk2gender spk2age
  test/   wav.scp utt2spk text spk2gender spk2age [trials.txt]
  WAVE/   SPEAKER0001/000010011.WAV ...""",
    files=(
        *(
            ExpectedFile(f"{split}/{name}", 125 if name.startswith("spk2") else 2500)
            for split in ("train", "test")
            for name in TABLES
        ),
        ExpectedFile(
            "test/trials.txt",
            45000,
            {"e833d2f870450544bea7f2be27daacfca39427f1ad33909338113e21eaf91a19": "96 test speakers"},
            absent="not in the official release: the preparation draws a list",
        ),
    ),
    check=partial(check_listed, audio_folder="WAVE", read_lists=_check_parts),
)
