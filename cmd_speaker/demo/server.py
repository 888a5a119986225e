"""The server of the demo's page: this machine only, unless another host is asked for."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cmd_speaker.demo.desk import MAX_MEGABYTES, Desk
from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint

if TYPE_CHECKING:
    import gradio as gr

LOOPBACK = "127.0.0.1"
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

    Raises `UsageError` where Gradio is missing or the port is taken, and as `Desk`.
    """
    with TemporaryDirectory(prefix="cmd-speaker-demo-") as folder:
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        # Gradio looks for this when it is imported, too.
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
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
                server_name=host, server_port=port, share=False, quiet=True, inbrowser=False, show_error=True,
                prevent_thread_lock=True, max_file_size=f"{MAX_MEGABYTES}mb", footer_links=[], ssr_mode=False,
                pwa=False, mcp_server=False, enable_monitoring=False, run_history=False, theme=theme,
                css=files("cmd_speaker.demo").joinpath("style.css").read_text(encoding="utf-8"),
                app_kwargs={"middleware": _middleware(host)},
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"no page on {host}, port {port or 'any'}: {error}") from error
        try:
            yield page
        finally:
            page.close(verbose=False)
            desk.registry.close()


def _middleware(host: str) -> list[Any]:
    """Answers for this host's names only, so that no page from elsewhere can pose as this one; and the policy."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    async def with_policy(request: Any, following: Any) -> Any:
        response = await following(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    names = [LOOPBACK, "localhost"] if is_loopback(host) else ["*"]
    return [
        Middleware(TrustedHostMiddleware, allowed_hosts=names),
        Middleware(BaseHTTPMiddleware, dispatch=with_policy),
    ]
