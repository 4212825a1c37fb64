"""Serves an application to this machine alone. Begin with `serve`."""

import contextlib
import logging
import socket
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.systems import WINDOWS

_logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_SECONDS_TO_END = 2  # for connections that browsers keep open


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on the loopback interface.

    Args:
      port: of the socket; 0 for one that is free.

    Raises:
      UsageError: it is in use, or reserved.
    """
    with socket.socket() as opened:
        try:
            if not WINDOWS:  # where it would share the port; elsewhere, a port is free again at once
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((LOOPBACK, port))
            opened.listen()
        except OSError as error:
            raise UsageError(f"--port: cannot listen on port {port}: {error.strerror}; 0 takes a free one") from error
        yield opened


def serve(make_app: Callable[[int], Any], *, port: int, fragment: str, open_browser: bool) -> None:
    """Serve an application until Ctrl-C.

    Args:
      make_app: makes the ASGI application for a port.
      port: of the server; 0 for one that is free.
      fragment: of the address, which a browser keeps to itself.
      open_browser: whether the page is opened.

    Raises:
      UsageError: the port is in use.
    """
    import uvicorn

    with listening(port) as opened:
        bound = opened.getsockname()[1]
        config = uvicorn.Config(
            make_app(bound),
            log_level="warning",
            access_log=False,  # addresses of images have the token
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        address = f"http://{LOOPBACK}:{bound}/#{fragment}"
        _logger.info("review: %s", address)
        _logger.info("review: the page is for this machine only; Ctrl-C ends it")
        if open_browser and not webbrowser.open(address):
            _logger.info("review: found no browser: open the address in one of this machine")
        # Ctrl-C is how a review ends. uvicorn closes its connections first, and then raises it again.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[opened])
