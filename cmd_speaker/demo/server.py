"""The server of the demo's page: this machine only, unless another host is asked for."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cmd_speaker.demo.desk import MAX_MEGABYTES, Desk
from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint

if TYPE_CHECKING:
    import gradio as gr

LOOPBACK = "127.0.0.1"
OWN_NAMES = {LOOPBACK, "localhost", "::1"}
PAGES_KEPT = 50
"""Of so many open pages the clips are kept; Gradio would keep those of 10,000, with their sound."""
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""A browser that keeps to it loads nothing from, and sends nothing to, anywhere else."""
BUTTON = {
    "background_fill": "#0b57a4",
    "background_fill_hover": "#084580",
    "border_color": "#0b57a4",
    "border_color_hover": "#084580",
    "text_color": "#ffffff",
}


def is_loopback(host: str) -> bool:
    """Whether a host's name or address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def serve(
    model: Path,
    registry: Path | None = None,
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    point: OperatingPoint | None = None,
    device: str = "cpu",
    key: bytes | None = None,
) -> Iterator[gr.Blocks]:
    """Serve the page until the block ends; then whatever was uploaded, and a registry of its own, are gone.

    `key` is that of an encrypted registry.

    Raises `UsageError` where Gradio is missing or nothing can listen at `host` and `port`, and as `Desk`.
    """
    _check_free(host, port)
    with TemporaryDirectory(prefix="cmd-speaker-demo-") as folder:
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        # Gradio looks for this when it is imported, too.
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        # Gradio asks the page whether it is there, and must not ask a proxy for it.
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = ",".join(filter(None, [direct, "localhost", host]))
        try:
            import gradio
        except ImportError as error:
            raise UsageError("the demo needs Gradio: pip install 'cmd-speaker[demo]'") from error
        from cmd_speaker.demo.page import Page

        desk = Desk(model, registry or Path(folder) / "registry", point, device, key)
        page = Page(desk).build()
        # Fonts of the machine, since the theme's own come from the internet; and a button that can be read.
        theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]).set(
            **{
                f"button_primary_{part}{suffix}": colour
                for part, colour in BUTTON.items()
                for suffix in ("", "_dark")
            }
        )
        try:
            page.launch(
                server_name=f"[{host}]" if ":" in host else host, server_port=port, share=False, quiet=True,
                inbrowser=False, show_error=True, prevent_thread_lock=True,
                max_file_size=f"{MAX_MEGABYTES}mb", footer_links=[], ssr_mode=False,
                pwa=False, mcp_server=False, enable_monitoring=False, run_history=False, theme=theme,
                state_session_capacity=PAGES_KEPT,
                css=files("cmd_speaker.demo").joinpath("style.css").read_text(encoding="utf-8"),
                app_kwargs={"middleware": _middleware(host)},
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"no page on {host}: {error}") from error
        try:
            yield page
        finally:
            page.close(verbose=False)
            desk.registry.close()


def _check_free(host: str, port: int | None) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        where = host if port is None else f"{host}, port {port}"
        raise UsageError(f"no page on {where}: {error.strerror}") from error


def _middleware(host: str) -> list[Any]:
    """Answers to this host's names and to this page only, so that no page from elsewhere can use it; the policy.

    Others are kept out by `Host` where they have their name point here (DNS rebinding), and by `Origin` where they
    send something to our address (cross-site request forgery): a browser sends forms and uploads unasked.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse

    names = OWN_NAMES | {host} if is_loopback(host) else None

    async def guarded(request: Any, following: Any) -> Any:
        origin = request.headers.get("origin")
        if names is not None and request.url.hostname not in names:
            return PlainTextResponse("This page has another address.", 400)
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return PlainTextResponse("This page answers to itself only.", 403)
        response = await following(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return [Middleware(BaseHTTPMiddleware, dispatch=guarded)]
