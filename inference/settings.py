"""The server's settings, read once from the command line and the environment. Imports nothing heavy."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONTAINER_MODEL = Path("/opt/ml/model")
EMBEDDED_MODEL = Path(__file__).resolve().parent / "model"


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. Sizes are in bytes or tokens as named, times in seconds; 0 or None: work it out."""

    model: str | None = None
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    device: str = "auto"
    dtype: str | None = None
    weights: str | None = None
    threads: int = 1
    rows: int = 0
    queue: int = 256
    context: int = 0
    kv_bytes: int = 0
    reuse_share: float = 0.25
    max_tokens: int = 1024
    max_body_bytes: int = 8 << 20
    drain_seconds: int = 25
    emf_seconds: int = 0
    adapters: str | None = None
    embedding_model: str | None = None
    images: int = 16
    image_bytes: int = 10 << 20
    image_pixels: int = 25_000_000
    image_seconds: int = 10
    image_buckets: str = ""


RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "threads": (0, 1024),
    "rows": (0, 4096),
    "queue": (1, 1_000_000),
    "context": (0, 1 << 24),
    "kv_bytes": (0, 1 << 50),
    "reuse_share": (0, 0.9),
    "max_tokens": (1, 1 << 24),
    "max_body_bytes": (1, 1 << 32),
    "drain_seconds": (0, 3600),
    "emf_seconds": (0, 3600),
    "images": (0, 1000),
    "image_bytes": (1, 1 << 32),
    "image_pixels": (1, 1 << 31),
    "image_seconds": (1, 600),
}
"""What each number may be, both ends included."""

CHOICES = {"dtype": ("float32", "bfloat16", "float16"), "weights": ("int8", "fp8")}
"""What may be given by name."""


def read(arguments: list[str], environment: Mapping[str, str]) -> Settings:
    """Settings from arguments first, then `PARLEY_...` variables, then defaults. Exits with 2 for a wrong argument."""
    parser = _parser(environment)
    given = parser.parse_args(arguments)
    for name, (least, most) in RANGES.items():
        if not least <= getattr(given, name) <= most:
            parser.error(f"--{name.replace('_', '-')} must be from {least} to {most}, got {getattr(given, name)}")
    for name, known in CHOICES.items():  # argparse does not look at what the environment says
        if getattr(given, name) not in (None, *known):
            parser.error(f"--{name} must be one of {', '.join(known)}, got {getattr(given, name)}")
    host = given.host or ("0.0.0.0" if given.command == "serve" else "127.0.0.1")
    return Settings(
        model=given.model or _default_model(),
        name=given.name,
        host=host,
        port=given.port,
        device=given.device,
        dtype=given.dtype,
        weights=given.weights,
        threads=given.threads or _cores(environment),
        rows=given.rows,
        queue=given.queue,
        context=given.context,
        kv_bytes=given.kv_bytes,
        reuse_share=given.reuse_share,
        max_tokens=given.max_tokens,
        max_body_bytes=given.max_body_bytes,
        drain_seconds=given.drain_seconds,
        emf_seconds=given.emf_seconds,
        adapters=given.adapters,
        embedding_model=given.embedding_model,
        images=given.images,
        image_bytes=given.image_bytes,
        image_pixels=given.image_pixels,
        image_seconds=given.image_seconds,
        image_buckets=given.image_buckets,
    )


def _parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    base = Settings()
    parser = argparse.ArgumentParser(prog="serve.py", description="Serve a chat model over HTTP.")
    # SageMaker starts a container as `docker run IMAGE serve`, and reaches it from outside: so it listens on all.
    parser.add_argument("command", nargs="?", choices=["serve"], help="as SageMaker starts it: listen on 0.0.0.0")
    add = parser.add_argument
    add("--model", default=env.get("PARLEY_MODEL"), help="a folder in Hugging Face format, or a hub id")
    add("--name", default=env.get("PARLEY_MODEL_NAME"), help="the name in answers and /v1/models")
    add("--host", default=env.get("PARLEY_HOST"))
    port = env.get("SAGEMAKER_BIND_TO_PORT") or env.get("PARLEY_PORT") or base.port
    add("--port", type=int, default=port, help="0 takes a free one")
    add("--device", default=env.get("PARLEY_DEVICE", base.device), help="cpu, cuda, or auto: cuda where there is one")
    add("--dtype", default=env.get("PARLEY_DTYPE") or None, choices=CHOICES["dtype"])
    quantised = env.get("PARLEY_WEIGHTS") or None
    add("--weights", default=quantised, choices=CHOICES["weights"], help="quantise them; needs torchao")
    add("--threads", type=int, default=env.get("PARLEY_THREADS", 0), help="CPU threads; default: cores")
    add("--rows", type=int, default=env.get("PARLEY_ROWS", base.rows), help="most sequences at once")
    add("--queue", type=int, default=env.get("PARLEY_QUEUE", base.queue), help="most that wait")
    add("--context", type=int, default=env.get("PARLEY_CONTEXT", base.context), help="window in tokens")
    add("--kv-bytes", type=int, default=env.get("PARLEY_KV_BYTES", base.kv_bytes))
    add("--reuse-share", type=float, default=env.get("PARLEY_REUSE_SHARE", base.reuse_share))
    add("--max-tokens", type=int, default=env.get("PARLEY_MAX_TOKENS", base.max_tokens))
    add("--max-body-bytes", type=int, default=env.get("PARLEY_MAX_BODY_BYTES", base.max_body_bytes))
    add("--drain-seconds", type=int, default=env.get("PARLEY_DRAIN_SECONDS", base.drain_seconds))
    add("--emf-seconds", type=int, default=env.get("PARLEY_EMF_SECONDS", base.emf_seconds), help="0: no EMF lines")
    add("--adapters", default=env.get("PARLEY_ADAPTERS"), help="a folder that holds a PEFT LoRA adapter in each folder")
    add("--embedding-model", default=env.get("PARLEY_EMBEDDING_MODEL"), help="a folder; turns /v1/embeddings on")
    add("--images", type=int, default=env.get("PARLEY_IMAGES", base.images), help="most in one request")
    add("--image-bytes", type=int, default=env.get("PARLEY_IMAGE_BYTES", base.image_bytes), help="most of one image")
    add("--image-pixels", type=int, default=env.get("PARLEY_IMAGE_PIXELS", base.image_pixels))
    add("--image-seconds", type=int, default=env.get("PARLEY_IMAGE_SECONDS", base.image_seconds), help="to fetch one")
    buckets = env.get("PARLEY_IMAGE_BUCKETS", base.image_buckets)
    add("--image-buckets", default=buckets, help="that s3:// images may come from, with commas between")
    return parser


def _default_model() -> str | None:
    for folder in (CONTAINER_MODEL, EMBEDDED_MODEL):
        if (folder / "config.json").is_file():
            return str(folder)
    return None


def _cores(environment: Mapping[str, str]) -> int:
    told = environment.get("SM_NUM_CPUS", "")
    if told.isdigit() and int(told):
        return int(told)
    # What this process may use, where the system says so: a container's share, not the whole machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
