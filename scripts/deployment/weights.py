"""A model's folder on its way to S3: looked at first, sent file by file, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from scripts.deployment.failures import BadModel

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def check_folder(folder: Path) -> list[Path]:
    """The files to send. Raises BadModel when the folder is no model in Hugging Face format."""
    if not folder.is_dir():
        raise BadModel(
            f"there is no folder {folder}; give --model a folder in Hugging Face format, or an s3:// address"
        )
    if not (folder / "config.json").is_file():
        raise BadModel(f"{folder} holds no config.json; give --model a folder in Hugging Face format")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise BadModel(f"{folder} holds no tokenizer (one of {', '.join(TOKENIZERS)}); copy it beside the weights")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
    if not any(file.suffix == ".safetensors" for file in files):
        raise BadModel(f"{folder} holds no weights (*.safetensors); convert them with transformers' save_pretrained")
    return files


def send_folder(session: boto3.Session, bucket: str, folder: Path, say: Callable[[str], None]) -> str:
    """The `s3://.../` address of the folder's content, which is sent as far as it is not there. Raises BadModel."""
    files = check_folder(folder)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        digest.update(_digest(file))
    prefix = f"models/{digest.hexdigest()[:32]}/"
    client = session.client("s3")
    for number, file in enumerate(files, 1):
        key = prefix + file.relative_to(folder).as_posix()
        try:
            if client.head_object(Bucket=bucket, Key=key)["ContentLength"] == file.stat().st_size:
                continue
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        say(f"sending the model, {number} of {len(files)}: {file.name} ({file.stat().st_size:,} bytes)")
        client.upload_file(str(file), bucket, key)
    return f"s3://{bucket}/{prefix}"


def _digest(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
