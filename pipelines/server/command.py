"""`towermill serve`: serve a bundle over HTTP until stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from towermill.errors import SetupError
from towermill.pipelines.server.settings import Settings

if TYPE_CHECKING:
    from towermill.pipelines.server.service.reader import Opener, Watched

logger = logging.getLogger(__name__)

LEVELS: Final = ("debug", "info", "warning", "error")


def serve(
    bundle: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Settings | None = None,
    *,
    shutdown_timeout: float = 30.0,
    log_level: str = "info",
    opener: Opener | None = None,
    watched: Watched | None = None,
) -> None:
    """Serve a bundle over HTTP until SIGTERM or SIGINT.

    One process serves: its requests share batches, a reload reaches all of them at one instant,
    and its metrics are whole. What takes long, the model and the index, runs without the
    interpreter's lock. To use more of a machine, run several behind a proxy: their bundle is
    mapped from the same memory.

    SIGHUP reloads the bundle. On shutdown, new requests are refused and running ones are answered.

    Parameters
    ----------
    bundle
        Its folder, or a link to it.
    host, port
        Where to listen; port 0 takes any free one, which the log names.
    settings
        Limits, times and the API key; the defaults of `Settings` if left out.
    shutdown_timeout
        Seconds that requests have to end in after the signal.
    log_level
        debug, info, warning or error; requests are logged at info.
    opener
        Opens what is at the path; by default a bundle, whose checksums are verified.
    watched
        The files whose change means a newer bundle; by default its manifest.

    Raises
    ------
    SetupError
        Nothing can listen there.
    BundleError
        There is no bundle, or it is damaged.
    """
    if log_level not in LEVELS:
        raise SetupError(f"--log-level should be one of {', '.join(LEVELS)}. Received: {log_level}")
    from towermill.pipelines.bundle.bundle import Bundle

    listening = listen(host, port)
    with listening:
        run_server(
            bundle,
            opener or (lambda path: Bundle.open(path, verify=True)),
            settings or Settings(),
            listening,
            shutdown_timeout,
            log_level,
            watched,
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    SetupError
        The port is taken or not allowed, or there is no such host.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = str(error).rstrip(".")
        raise SetupError(
            f"Cannot listen on {host}:{port}: {reason}. Give another --host or --port; 0 takes any "
            "free one."
        ) from error


def run_server(
    path: str | Path,
    opener: Opener,
    settings: Settings,
    listening: socket.socket,
    shutdown_timeout: float = 30.0,
    log_level: str = "info",
    watched: Watched | None = None,
) -> None:
    """Open the bundle at a path and serve it on a socket, as `serve` does.

    Parameters
    ----------
    path
        The bundle's folder, or a link to it.
    opener
        How to open it.
    settings
        The server's settings.
    listening
        A socket from `listen`.
    shutdown_timeout, log_level, watched
        As of `serve`.
    """
    import uvicorn

    from towermill.pipelines.server.app import create_app
    from towermill.pipelines.server.http.connections import limited_to
    from towermill.pipelines.server.http.logs import set_up_server_log
    from towermill.pipelines.server.metrics import Metrics
    from towermill.pipelines.server.service.holder import Holder
    from towermill.pipelines.server.service.reader import manifest_of

    metrics = Metrics()
    holder = Holder(path, opener, metrics, watched or manifest_of)
    set_up_server_log(log_level)
    config = uvicorn.Config(
        create_app(holder, settings, metrics),
        log_config=None,
        access_log=False,
        http=limited_to(settings.timeout),
        ws="none",
        server_header=False,
        timeout_keep_alive=75,  # longer than proxies keep an idle connection, so that they close it
        timeout_graceful_shutdown=max(1, round(shutdown_timeout)),
    )

    async def main() -> None:
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(holder.reload_quietly())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        logger.info("serving bundle %s at http://%s:%s", holder.current.id, shown, port)
        if sys.stderr.isatty():
            logger.info("open that address in a browser; Ctrl-C stops the server")
        await uvicorn.Server(config).serve([listening])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())
