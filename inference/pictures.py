"""Image parts of a request: from an address (data:, s3:// or https://) to decoded pixels, within bounds.

Knows no model. Pillow and boto3 are imported when a picture, or one from S3, is asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from addresses import Fetcher, Unreachable
from errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
LOW_DETAIL = 512
"""Longest side in pixels of a picture asked for with `detail: low`, as OpenAI has it."""


@dataclass(frozen=True)
class PictureSource:
    """Where a picture is, and which part of the request says so."""

    url: str
    where: str
    detail: str = "auto"


@dataclass(frozen=True)
class Picture:
    """A decoded RGB image (PIL), and the digest of its bytes and how they were read."""

    image: Any
    digest: bytes


@dataclass(frozen=True)
class PictureReader:
    """Reads pictures. `buckets` are those that s3:// addresses may name."""

    most_bytes: int
    most_pixels: int
    fetcher: Fetcher
    buckets: frozenset[str] = frozenset()
    object_bytes: Callable[[str, str, int], bytes] = field(default_factory=lambda: s3_object)

    def read(self, source: PictureSource) -> Picture:
        """The picture. Raises InvalidRequest naming the part; blocks as long as its server takes, within bounds."""
        try:
            raw = self._bytes(source.url)
            return self._decode(raw, source.detail)
        except Unreachable as error:
            raise InvalidRequest(
                f"The image of '{source.where}' cannot be used: {error}.", param=source.where, code="invalid_image"
            ) from error

    def _bytes(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            raw = _data_url(url)
        elif url.startswith("s3://"):
            bucket, _, key = url[5:].partition("/")
            if bucket not in self.buckets:
                raise Unreachable("its bucket is not one that this server may read")
            raw = self.object_bytes(bucket, key, self.most_bytes)
        else:
            raw = self.fetcher.read(url)
        if len(raw) > self.most_bytes:
            raise Unreachable(f"it has more than {self.most_bytes} bytes")
        return raw

    def _decode(self, raw: bytes, detail: str) -> Picture:
        from PIL import Image, ImageOps

        try:
            with Image.open(io.BytesIO(raw), formats=FORMATS) as opened:
                # Sizes stand in the header: a small file that unpacks to gigabytes is refused before it does.
                if opened.width * opened.height > self.most_pixels:
                    raise Unreachable(f"it has more than {self.most_pixels} pixels")
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except Image.DecompressionBombError as error:  # Pillow's own bound, for sizes far beyond ours
            raise Unreachable(f"it has more than {self.most_pixels} pixels") from error
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise Unreachable(f"it is no picture in one of the formats {', '.join(FORMATS)}") from error
        if detail == "low":
            image.thumbnail((LOW_DETAIL, LOW_DETAIL))
        return Picture(image, hashlib.sha256(detail.encode() + b"\0" + raw).digest())


def sample() -> tuple[PictureSource, Picture]:
    """A small picture of known content, to try a model with."""
    from PIL import Image

    image = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    return PictureSource("", "sample"), Picture(image, b"sample")


def _data_url(url: str) -> bytes:
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise Unreachable("its data URL has no comma")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(unquote_to_bytes(data), validate=True)
    except binascii.Error as error:
        raise Unreachable("its data URL is not valid base64") from error


def s3_object(bucket: str, key: str, most_bytes: int) -> bytes:
    """An object's bytes, not read when there are more than `most_bytes`. Raises Unreachable."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    limits = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        client = boto3.session.Session().client("s3", config=limits)
        found = client.get_object(Bucket=bucket, Key=key)
        if found["ContentLength"] > most_bytes:
            raise Unreachable(f"it has more than {most_bytes} bytes")
        return bytes(found["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise Unreachable(f"it could not be read from S3 ({type(error).__name__})") from error
