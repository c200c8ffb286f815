"""Image parts over HTTP, with the official client: answers, bounds, and every refusal naming its part."""

from __future__ import annotations

import base64
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from addresses import Fetcher, Unreachable
from errors import InvalidRequest
from pictures import Picture, PictureReader, PictureSource

from tests.inference import tiny_pictures
from tests.inference.server import Server, user
from tests.inference.tiny_pictures import data_url, make_picture, png

IMAGE = data_url(make_picture(1))


def shown(*urls: str, text: str = "What is this?", **fields: Any) -> dict[str, Any]:
    """A request with pictures before its text."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        "max_tokens": 12,
        **fields,
    }


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tiny_pictures.save("llava", tmp_path_factory.mktemp("llava"))
    bounds = ["--images", "8", "--image-bytes", "40000", "--image-pixels", "20000", "--image-buckets", "ours"]
    with Server(["--model", str(folder), "--threads", "1", "--context", "200", *bounds]) as server:
        yield server


def reader(**more: Any) -> PictureReader:
    given = {"most_bytes": 100_000, "most_pixels": 10_000, "fetcher": Fetcher(100_000, 5), **more}
    return PictureReader(**given)


def read(url: str, detail: str = "auto", **more: Any) -> Picture:
    return reader(**more).read(PictureSource(url, "here", detail))


def test_a_picture_changes_the_answer_and_its_tokens_are_counted(seeing: Server) -> None:
    client = seeing.client()

    def ask(url: str) -> Any:
        return client.chat.completions.create(
            model="any",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
                    ],
                }
            ],
            max_tokens=12,
        )

    first, second, again = ask(IMAGE), ask(data_url(make_picture(2))), ask(IMAGE)
    assert first.choices[0].message.content != second.choices[0].message.content
    assert first.choices[0].message.content == again.choices[0].message.content
    text = seeing.post(user("What is this?", max_tokens=1))[1]["usage"]["prompt_tokens"]
    assert first.usage.prompt_tokens == second.usage.prompt_tokens == text + 16
    assert again.usage.prompt_tokens_details.cached_tokens == first.usage.prompt_tokens - 1
    streamed = seeing.client().chat.completions.create(model="any", stream=True, **shown(IMAGE))
    whole = seeing.post(shown(IMAGE))[1]["choices"][0]["message"]["content"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == whole


def test_old_messages_with_pictures_are_dropped_when_the_window_is_full(seeing: Server) -> None:
    old = shown(IMAGE, IMAGE)["messages"][0]
    history = [old, {"role": "assistant", "content": "fine"}] * 3
    status, body, _ = seeing.post({"messages": [*history, old], "max_tokens": 8})
    assert status == 200, body
    dropped, tokens = body["parley"]["dropped_messages"], body["usage"]["prompt_tokens"]
    assert dropped in (2, 4)
    assert (8 - dropped) // 2 * 32 < tokens <= 192  # the pictures that stay are counted
    status, body, _ = seeing.post(shown(IMAGE, text="word " * 400))
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(raw: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (encoded(b"no picture"), "no picture"),
        (encoded(png(make_picture(1))[:500]), "no picture"),
        (encoded(b""), "no picture"),
        (encoded(bomb()), "pixels"),
        (encoded(b"\x89PNG\r\n\x1a\n" + os.urandom(50_000)), "bytes"),
        (data_url(make_picture(1, (200, 101))).replace("image/png", "text/html"), "pixels|bytes"),
        ("data:image/png;base64,!!!", "base64"),
        ("data:image/png;base64", "comma"),
        ("http://example.com/a.png", "only https"),
        ("https://127.0.0.1/a.png", "not a public one"),
        ("https://169.254.169.254/latest/meta-data/", "not a public one"),
        ("https://[fd00:ec2::254]/", "not a public one"),
        ("s3://theirs/a.png", "bucket"),
        ("file:///etc/passwd", "only https"),
        ("cat.png", "only https"),
    ],
)
def test_an_image_that_is_none_names_its_part_and_the_next_request_works(seeing: Server, url: str, says: str) -> None:
    import re

    status, body, _ = seeing.post(shown(IMAGE, url))
    assert status == 400, body
    assert body["error"]["param"] == "messages[0].content[1]"
    assert body["error"]["code"] == "invalid_image"
    assert re.search(says, body["error"]["message"]), body
    assert seeing.post(shown(IMAGE))[0] == 200


@pytest.mark.parametrize(
    ("part", "param", "code"),
    [
        ({"type": "image_url"}, "messages[0].content[0]", "invalid_value"),
        ({"type": "image_url", "image_url": IMAGE}, "messages[0].content[0]", "invalid_value"),
        ({"type": "image_url", "image_url": {"url": 3}}, "messages[0].content[0]", "invalid_value"),
        (
            {"type": "image_url", "image_url": {"url": IMAGE, "detail": "huge"}},
            "messages[0].content[0].image_url.detail",
            "invalid_value",
        ),
        ({"type": "input_audio", "input_audio": {}}, "messages[0].content[0]", "unsupported_content"),
    ],
)
def test_a_part_of_the_wrong_shape_is_named(seeing: Server, part: dict[str, Any], param: str, code: str) -> None:
    status, body, _ = seeing.post({"messages": [{"role": "user", "content": [part]}]})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, code)


def test_more_pictures_than_the_bound_are_refused(seeing: Server) -> None:
    urls = [data_url(make_picture(seed)) for seed in range(9)]
    status, body, _ = seeing.post(shown(*urls))
    assert (status, body["error"]["code"]) == (400, "too_many_images")


def test_a_placeholder_in_somebodys_text_stays_text(seeing: Server) -> None:
    status, body, _ = seeing.post(shown(IMAGE, text="<image><image>"))
    assert status == 200, body
    assert seeing.post(user("<image>", max_tokens=4))[0] == 200


def test_a_text_only_model_says_so(server: Server) -> None:
    with pytest.raises(openai.BadRequestError, match="text only") as caught:
        server.client().chat.completions.create(model="any", **shown(IMAGE))
    assert caught.value.param == "messages[0].content[0]"
    assert caught.value.code == "unsupported_content"


def test_objects_are_read_from_named_buckets_alone() -> None:
    asked = []

    def objects(bucket: str, key: str, most: int) -> bytes:
        asked.append((bucket, key, most))
        return png(make_picture(3))

    found = read("s3://ours/a/b.png", buckets=frozenset({"ours"}), object_bytes=objects)
    assert found.image.size == (48, 40)
    assert asked == [("ours", "a/b.png", 100_000)]
    with pytest.raises(InvalidRequest, match="bucket"):
        read("s3://theirs/a/b.png", buckets=frozenset({"ours"}), object_bytes=objects)


def test_an_object_is_read_through_the_real_client(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="ours")
        client.put_object(Bucket="ours", Key="a.png", Body=png(make_picture(4)))
        buckets = frozenset({"ours"})
        assert read("s3://ours/a.png", buckets=buckets).image.size == (48, 40)
        with pytest.raises(InvalidRequest, match="S3"):
            read("s3://ours/missing.png", buckets=buckets)
        with pytest.raises(InvalidRequest, match="bytes"):
            read("s3://ours/a.png", buckets=buckets, most_bytes=10)


def test_low_detail_is_scaled_and_tells_itself_from_high() -> None:
    wide = encoded(png(make_picture(1, (1024, 16))))
    low, high = read(wide, "low", most_pixels=20_000), read(wide, "high", most_pixels=20_000)
    assert low.image.size == (512, 8)
    assert high.image.size == (1024, 16)
    assert low.digest != high.digest


def test_pillow_and_boto_are_not_imported_before_a_picture_comes() -> None:
    import subprocess

    code = "import routes, protocol, sys; print([m for m in ('PIL', 'boto3', 'torch', 'peft') if m in sys.modules])"
    folder = Path(__file__).parents[2] / "inference"
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_an_address_that_cannot_be_read_is_the_callers_error() -> None:
    class Broken(Fetcher):
        def read(self, url: str) -> bytes:
            raise Unreachable("it redirects, and redirects are not followed")

    with pytest.raises(InvalidRequest, match="redirects"):
        read("https://example.com/a.png", fetcher=Broken(10, 1))
