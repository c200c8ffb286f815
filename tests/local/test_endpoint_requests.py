"""InvokeEndpointAsync's constraints, each at its edge and one beyond."""

from __future__ import annotations

import pytest

from scripts.local.endpoint_requests import InferenceRequest, ValidationError, read_inference_request


def read(body: bytes = b"{}", endpoint: str = "parley", /, **headers: str) -> InferenceRequest:
    """Read a request; header names are given without their prefix, with _ for -."""
    given = {f"X-Amzn-SageMaker-{name.replace('_', '-')}".lower(): value for name, value in headers.items()}
    return read_inference_request(endpoint, lambda name: given.get(name.lower()), body)


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("Inference_Id", ["a", "a" * 64, "a b", "#/~"], ["", "a" * 65, " a", "a\n", "é"]),
        ("Custom_Attributes", ["", "x" * 1024], ["x" * 1025, "é", "a\tb"]),
        ("Content_Type", ["application/json", "x" * 1024], ["x" * 1025]),
        ("Accept", ["*/*"], ["x" * 1025]),
        ("RequestTTLSeconds", ["60", "21600"], ["59", "21601", "", "1.5", "x", "-60"]),
        ("InvocationTimeoutSeconds", ["1", "3600"], ["0", "3601", "none"]),
        (
            "S3OutputPathExtension",
            ["a", "a/b!_.*'()-", "x" * 512, "/a/"],
            ["", "x" * 513, "s3:a", "https:a", "a b", "é"],
        ),
        ("Filename", ["a", "a.b", "a" * 32, "a-_.x", "0"], ["", "a" * 33, "a.b.c", ".a", "-a", "a/b"]),
    ],
)
def test_headers_are_taken_and_refused_as_aws_does(name: str, accepted: list[str], refused: list[str]) -> None:
    for value in accepted:
        read(**{name: value})
    for value in refused:
        with pytest.raises(ValidationError):
            read(**{name: value})


@pytest.mark.parametrize("location", ["s3://bucket/key", "https://bucket.s3.amazonaws.com/key", "s3://b/" + "k" * 1017])
def test_an_input_location_stands_in_for_the_body(location: str) -> None:
    request = read(b"", InputLocation=location)
    assert (request.input_location, request.body) == (location, None)


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "s3://", "http://bucket/key", "s3://b/" + "k" * 1018])
def test_other_input_locations_are_refused(location: str) -> None:
    with pytest.raises(ValidationError):
        read(b"", InputLocation=location)


def test_exactly_one_of_body_and_location_is_required() -> None:
    with pytest.raises(ValidationError, match="neither"):
        read(b"")
    with pytest.raises(ValidationError, match="both"):
        read(b"{}", InputLocation="s3://bucket/key")


def test_a_body_may_be_128000_bytes_long_and_no_longer() -> None:
    assert read(b"x" * 128_000).body == b"x" * 128_000
    with pytest.raises(ValidationError, match="128001"):
        read(b"x" * 128_001)


@pytest.mark.parametrize("endpoint", ["", "-a", "a-", "a_b", "a" * 64])
def test_endpoint_names_have_a_form(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        read(b"{}", endpoint)


def test_defaults_are_those_of_aws() -> None:
    request = read()
    assert (request.ttl_seconds, request.timeout_seconds) == (21_600, 900)
    assert len(request.inference_id) == 36
    assert request.output_name == f"{request.inference_id}.out"


def test_names_come_from_extension_filename_and_inference_id() -> None:
    request = read(Inference_Id="t.1", S3OutputPathExtension="/conversation/3/")
    assert request.output_name == "conversation/3/t.1.out"
    assert request.failure_name == "conversation/3/t.1-error.out"
    named = read(Inference_Id="t.1", Filename="step-1.json")
    assert (named.output_name, named.failure_name) == ("step-1.json", "step-1.json")
    awkward = read(Inference_Id="a/../b c")
    assert "/" not in awkward.output_name
    assert awkward.output_name == read(Inference_Id="a/../b c").output_name
