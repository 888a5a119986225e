"""`cmd-speaker demo`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Device, app
from cmd_speaker.cli.decide import Point, parse_point, warn
from cmd_speaker.cli.registry import KeyFile


@app.command()
def demo(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    registry: Annotated[
        Path | None,
        typer.Option(
            help="A registry's folder, begun where there is none; forgotten at the end unless given."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; the first free one from 7860 unless given.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own opens the page to others.")
    ] = "127.0.0.1",
    point: Point = None,
    key_file: KeyFile = None,
    device: Device = "cpu",
) -> None:
    """Open a local web page: compare two clips, enrol and identify speakers, see a map of embeddings.

    Ctrl-C ends it. Nothing is sent anywhere; uploads are deleted once they were heard.
    """
    from cmd_speaker.demo.server import is_loopback, serve
    from cmd_speaker.registry import read_key

    if not is_loopback(host):
        warn(
            [
                f"whoever reaches {host} can use this page and its registry, without a password and unencrypted; "
                "browsers give a microphone to pages of this machine or over https only"
            ]
        )
    # Asked to end in whatever way, the page takes its files along; the last one is that its terminal was closed.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, signal.default_int_handler)
    with serve(
        model,
        registry,
        host=host,
        port=port,
        point=parse_point(point) if point else None,
        device=device,
        key=read_key(key_file, registry),
    ) as page:
        print(f"{page.local_url}  (Ctrl-C ends it)", flush=True)
        if registry is None:
            print(
                "Who is enrolled is forgotten at the end; --registry keeps them.", file=sys.stderr, flush=True
            )
        while True:
            time.sleep(3600)
