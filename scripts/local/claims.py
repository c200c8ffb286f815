"""What one run needs for itself alone: its data folder, its port, its logs."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from scripts.local.http_server import bind


class CannotRun(Exception):
    """Why the system cannot run, in one line."""


def keep_log_small(log: Path, limit: int = 20_000_000) -> None:
    """Set a log aside (one older copy is kept) when it has grown past ``limit`` bytes."""
    if log.exists() and log.stat().st_size > limit:
        log.replace(log.with_suffix(".log.old"))


def take_data_folder(data: Path) -> int:
    """Return the descriptor of the folder's lock, held until the process ends. Raises CannotRun if taken."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # conversations and keys are its owner's
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotRun(f"cannot use {data}: {error.strerror}; choose another folder with --data") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise CannotRun(f"{data} is in use by another scripts/run (process {holder}); end it or use --data") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def take_port(port: int) -> socket.socket:
    """Return a socket bound to the port. Raises CannotRun when another process listens there."""
    try:
        return bind(port)
    except OSError as error:
        raise CannotRun(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another with --port") from error
