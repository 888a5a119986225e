"""The command line: `python -m data_prep.voxceleb convert|prepare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import data_prep.voxceleb
from cmd_speaker.corpora.voxceleb import PARTS
from cmd_speaker.errors import exit_code_of
from data_prep.voxceleb.conversion import convert
from data_prep.voxceleb.preparation import TRAINING_SETS, VALID_SPEAKERS, prepare


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.voxceleb", description=data_prep.voxceleb.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True)

    packed = commands.add_parser(
        "convert", help="m4a files to flac, through ffmpeg; goes on where it was stopped"
    )
    packed.add_argument("source", help="the folder that holds dev/aac")
    packed.add_argument("output", help="where the flac files are written; may be the same folder")
    packed.add_argument("--workers", type=int, help="files at a time (default: one a core)")
    packed.set_defaults(command=_convert)

    data = commands.add_parser("prepare", help="manifests and trial lists")
    data.add_argument("data_folder", help="the folder that holds the corpora, or links to them")
    data.add_argument("output_folder", help="where the manifests and trial lists are written")
    data.add_argument(
        "--train", choices=TRAINING_SETS, default="vox2", help="the training set (default: vox2)"
    )
    data.add_argument(
        "--trials", nargs="+", default=[], metavar="LIST", help="VoxCeleb1-O, E or H, cleaned or not"
    )
    data.add_argument(
        "--accept_unknown", action="store_true", help="accept other trial lists, as unknown ones"
    )
    data.add_argument("--metadata", nargs="+", default=[], metavar="CSV", help="vox1_meta.csv, vox2_meta.csv")
    data.add_argument(
        "--faces", nargs="+", default=[], metavar="FOLDER", help="crops of VoxCeleb or VGGFace2"
    )
    data.add_argument(
        "--valid_speakers", type=int, default=VALID_SPEAKERS,
        help=f"training speakers held out for validation (default: {VALID_SPEAKERS})",
    )  # fmt: skip
    data.set_defaults(command=_prepare)

    options = vars(parser.parse_args(arguments))
    options.pop("command")(**options)


def _convert(**options: object) -> None:
    done = convert(**options)  # type: ignore[arg-type]
    print(f"{done.now:,} files converted, {done.earlier:,} were there")
    for part, count in done.parts.items():
        if count:
            print(f"{part}: {count:,} of {PARTS[part].utterances:,} utterances")


def _prepare(**options: object) -> None:
    prepared = prepare(**options)  # type: ignore[arg-type]
    for name, count in prepared.counts.items():
        print(f"{name:26} {count:11,}")
    for note in prepared.notes:
        print(note)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
