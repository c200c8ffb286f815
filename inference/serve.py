"""Starts the model server: `python inference/serve.py [serve] [--model DIR_OR_ID] [--port N]`.

Binds the port first and loads the model in a thread, so that /ping answers (503) from the first moment.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from loading import Loaded
    from routes import Service

import settings as settings_module
from settings import Settings

NO_MODEL = 2
"""Exit status when there is no model to serve."""


OPEN_FILES = 16_384


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0, or 2 when the model cannot be loaded."""
    # Threads that spin while they wait for work ruin a machine they share; read by OpenMP when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = settings_module.read(arguments, os.environ)
    allow_open_files()
    gc.disable()  # imports make objects that stay; looking through them again and again takes a tenth of the start
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    from loading import ModelUnavailable, find_model

    try:
        find_model(settings)
        listening = listen(settings)
    except (ModelUnavailable, OSError) as error:
        print(f"serve: {error}", file=sys.stderr, flush=True)
        return NO_MODEL
    return asyncio.run(run(settings, listening))


def _warm_up(loaded: Loaded) -> None:
    """What the first request would wait for, while nobody does: modules that answer, the template's compilation."""
    import completion  # noqa: F401
    import streaming  # noqa: F401
    import whole  # noqa: F401
    from errors import ServiceError

    try:
        loaded.chat.prompt([{"role": "user", "content": "hi"}], [], {})
    except ServiceError:
        return  # a model without a template says so to who asks


def allow_open_files() -> None:
    """Raise the limit of open files as far as we may: each client that waits is one, and many systems begin at 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(settings: Settings) -> socket.socket:
    """A listening socket. OSError, saying which address, when the port is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        # 1024: a thousand clients at once are queued or refused by us, not by the kernel.
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise OSError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error
    return listening


async def run(settings: Settings, listening: socket.socket) -> int:
    """Serve on the socket while the model loads and after; the exit status."""
    import uvicorn
    from routes import Service, build

    service = Service(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            build(service),
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,  # longer than clients keep idle connections, so that none is closed under them
            lifespan="off",
            timeout_graceful_shutdown=settings.drain_seconds,
        )
    )
    # uvicorn hands a signal on to the handler before it once all requests are answered; by default that one kills.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    status = _load_in_thread(service, server, address(settings, listening))
    await server.serve(sockets=[listening])
    service.preparing.shutdown(wait=False, cancel_futures=True)
    if service.loaded is not None:
        service.loaded.engine.stop()
    return status[0]


def address(settings: Settings, listening: socket.socket) -> str:
    """Where a client on this machine reaches the server."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _load_in_thread(service: Service, server: uvicorn.Server, url: str) -> list[int]:
    """Load the model beside the running server. The list's one entry becomes the exit status."""
    status = [0]
    loop = asyncio.get_running_loop()

    def load() -> None:
        from loading import ModelUnavailable, load

        try:
            loaded = load(service.settings)
            if server.should_exit:
                return  # told to stop while loading
            gc.freeze()  # what was loaded stays: it is never looked through again
            gc.enable()
            service.use(loaded)
            print(f"ready {url}", flush=True)
            _report(loaded, service, loop)
            service.preparing.submit(_warm_up, loaded)
        except ModelUnavailable as error:
            print(f"serve: {error}", file=sys.stderr, flush=True)
        except Exception as error:
            logging.getLogger("parley").critical("loading failed", exc_info=error)
        else:
            return
        status[0] = NO_MODEL
        server.should_exit = True

    threading.Thread(target=load, name="load", daemon=True).start()
    return status


def _report(loaded: Loaded, service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """Begin to write metrics for CloudWatch as often as is set; 0 seconds writes none."""
    if seconds := service.settings.emf_seconds:
        from emf import Reporter, report

        asyncio.run_coroutine_threadsafe(report(Reporter(loaded.engine, loaded.name, service.refused), seconds), loop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
