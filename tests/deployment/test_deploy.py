"""`scripts/deploy` and `scripts/destroy` over moto: end to end, again, after dying at any call; what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boto3.exceptions import S3UploadFailedError

from scripts.deployment import deploy as deploying
from scripts.deployment.archives import write_archive
from scripts.deployment.deploy import Deployer, Wishes
from scripts.deployment.destroy import Destroyer
from scripts.deployment.failures import BadAccount, BadModel, BadStack, ChangeFailed
from scripts.deployment.package import Package
from scripts.deployment.registry import check_stage, take
from scripts.deployment.stack import Plan, Stack
from scripts.local.lambda_context import ACCOUNT
from scripts.local.moto_stacks import LEFT_OUT, PASSED_OVER
from tests.deployment.cloud import REGION, Cloud, Died, Json, cloud

SMALL = {"InstanceType": "ml.g4dn.xlarge"}

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")


@pytest.fixture(scope="module")
def light(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package with its template, and with small files in the place of the large ones: they are sent often here."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "template.json").write_bytes((package.folder / "template.json").read_bytes())
    for name in package.artefacts.keys() - {"template.json"}:
        write_archive(folder / name, {"name": name.encode()})
    return replace(package, folder=folder)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, light: Package) -> Iterator[Cloud]:
    """An empty account, and a package that is made already."""
    monkeypatch.setattr(deploying, "write_package", lambda folder, architecture, say: light)
    with cloud(monkeypatch) as made:
        yield made


def agree(plan: Plan) -> bool:
    return True


def deploy(
    account: Cloud, confirm: Callable[[Plan], bool] = agree, model: str | None = None, **parameters: str
) -> dict[str, str] | None:
    wishes = Wishes("prod", model=model, parameters=SMALL | parameters)
    return Deployer(account.session, wishes, lambda text: None, confirm, lambda seconds: None).run()


def stack_of(account: Cloud) -> Stack:
    return Stack(account.outside, "parley-prod", lambda text: None, lambda seconds: None)


def resources(account: Cloud) -> dict[str, str]:
    found = account.outside.client("cloudformation").list_stack_resources(StackName="parley-prod")
    return {entry["LogicalResourceId"]: entry["ResourceType"] for entry in found["StackResourceSummaries"]}


def test_a_first_deployment_makes_everything_and_ends_with_an_endpoint(account: Cloud, translated: Json) -> None:
    assert deploy(account) is not None
    wanted = {resource["Type"] for resource in translated["Resources"].values()}
    assert wanted - set(resources(account).values()) == PASSED_OVER | LEFT_OUT.keys(), "the rest is made"
    client = account.outside.client("sagemaker")
    (endpoint,) = client.list_endpoints()["Endpoints"]  # which moto names as it likes
    described = client.describe_endpoint(EndpointName=endpoint["EndpointName"])
    assert described["EndpointStatus"] == "InService"
    configured = client.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    assert "NotificationConfig" in configured["AsyncInferenceConfig"]["OutputConfig"]
    key = account.outside.client("ssm").get_parameter(Name="/parley-prod/signing-key", WithDecryption=True)
    assert len(json.loads(key["Parameter"]["Value"])["key"]) == 64


def test_a_second_deployment_of_the_same_sends_and_changes_nothing(account: Cloud) -> None:
    deploy(account)
    account.calls.clear()
    assert deploy(account) is not None
    assert account.builds == 0, "the image was built by the first"
    assert not [call for call in account.calls if "PutObject" in call or "ExecuteChangeSet" in call]


def test_a_changed_setting_is_shown_and_made_and_the_others_stay(account: Cloud) -> None:
    deploy(account, MaxConcurrency="7")
    shown: list[Plan] = []

    def look(plan: Plan) -> bool:
        shown.append(plan)
        return True

    account.quotas["ml.g4dn.xlarge"] = 3
    deploy(account, look, MaxInstances="3")
    assert len(shown) == 1
    kept = {p["ParameterKey"]: p["ParameterValue"] for p in (stack_of(account).describe() or {})["Parameters"]}
    assert (kept["MaxInstances"], kept["MaxConcurrency"]) == ("3", "7")
    assert kept["ImageUri"], "the image that was built stays"


def test_an_update_keeps_the_instance_type_with_its_price_and_asks_for_its_quota(account: Cloud) -> None:
    deploy(account)
    account.quotas |= {"ml.g6.xlarge": 0}
    wishes = Wishes("prod", parameters={"LogDays": "7"})
    Deployer(account.session, wishes, lambda text: None, agree, lambda seconds: None).run()
    kept = {p["ParameterKey"]: p["ParameterValue"] for p in (stack_of(account).describe() or {})["Parameters"]}
    assert (kept["InstanceType"], kept["InstanceUsdPerHour"], kept["LogDays"]) == ("ml.g4dn.xlarge", "0.736", "7")


def test_whoever_does_not_agree_changes_nothing(account: Cloud) -> None:
    assert deploy(account, lambda plan: False) is None
    assert stack_of(account).describe() is None
    assert deploy(account) is not None


def test_a_deployment_that_died_at_any_call_is_finished_by_the_next_run(light: Package) -> None:
    whole = deploy_and_die(light, None)
    kinds = {call: number for number, call in reversed(list(enumerate(whole)))} | {
        f"last {call}": number for number, call in enumerate(whole)
    }
    numbers = sorted(set(kinds.values()))
    assert len(numbers) > 20, "the first and the last call of each kind"
    for number in numbers:
        deploy_and_die(light, number)


def deploy_and_die(light: Package, number: int | None) -> list[str]:
    """Deploy into an empty account, die at the call of this number, deploy again; the first run's calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploying, "write_package", lambda folder, architecture, say: light)
        with cloud(patch) as account:
            account.die_at = number
            with contextlib.suppress(Died, ConnectionError, S3UploadFailedError):
                deploy(account)
                assert number is None, "it was to die"
            first = list(account.calls)
            account.die_at = None
            assert deploy(account) is not None, first[-1]
            assert "Endpoint" in resources(account), first[-1]
            assert account.outside.client("sagemaker").list_endpoints()["Endpoints"], first[-1]
    return first


def test_a_model_s_folder_is_sent_once_and_named_by_its_content(account: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, content in (("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "weights")):
        (folder / name).write_text(content)
    deploy(account, model=str(folder))
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in (stack_of(account).describe() or {})["Parameters"]}
    bucket, _, prefix = parameters["ModelUri"].removeprefix("s3://").partition("/")
    listed = account.outside.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert {entry["Key"].removeprefix(prefix) for entry in listed} == {file.name for file in folder.iterdir()}
    (folder / "model.safetensors").write_text("other weights")
    deploy(account, model=str(folder))
    again = {p["ParameterKey"]: p["ParameterValue"] for p in (stack_of(account).describe() or {})["Parameters"]}
    assert again["ModelUri"] != parameters["ModelUri"]


def test_a_model_is_a_hub_id_unless_there_is_such_a_folder(
    account: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    deploy(account, model="Qwen/Qwen3-0.6B")
    given = {p["ParameterKey"]: p["ParameterValue"] for p in (stack_of(account).describe() or {})["Parameters"]}
    assert (given["ModelId"], given["ModelUri"]) == ("Qwen/Qwen3-0.6B", "")
    (name,) = [m["ModelName"] for m in account.outside.client("sagemaker").list_models()["Models"]]
    container = account.outside.client("sagemaker").describe_model(ModelName=name)["PrimaryContainer"]
    assert container["Environment"]["PARLEY_MODEL"] == "Qwen/Qwen3-0.6B"
    (tmp_path / "Qwen/Qwen3-0.6B").mkdir(parents=True)
    with pytest.raises(BadModel, match=r"no config\.json"):
        deploy(account, model="Qwen/Qwen3-0.6B")


def test_the_endpoint_takes_the_version_that_a_registry_has_in_use(account: Cloud, tmp_path: Path) -> None:
    s3 = account.outside.client("s3")
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
    with pytest.raises(BadModel, match="no model in use; promote one"):
        deploy(account, model="registry:s3://models/all/shop")
    s3.put_object(Bucket="models", Key="all/shop/in_use.json", Body=b'{"version": "0002"}')
    deploy(account, model="registry:s3://models/all/shop")
    before = stack_of(account).parameters()
    assert before["ModelUri"] == "s3://models/all/shop/versions/0002/model/"
    s3.put_object(Bucket="models", Key="all/shop/in_use.json", Body=b'{"version": "0001"}')
    uploads = account.calls.count("s3 PutObject")
    taken = take(account.session, "prod", "registry:s3://models/all/shop", lambda text: None)
    assert stack_of(account).parameters() == before | {"ModelUri": taken}
    assert taken == "s3://models/all/shop/versions/0001/model/"
    assert account.calls.count("s3 PutObject") == uploads
    check_stage(account.session, "prod", lambda text: None)
    with pytest.raises(BadStack, match="no stack parley-elsewhere; make it"):
        check_stage(account.session, "elsewhere", lambda text: None)
    with pytest.raises(BadStack, match="no stack parley-elsewhere; make it"):
        take(account.session, "elsewhere", "registry:s3://models/all/shop", lambda text: None)


@pytest.mark.parametrize(
    ("missing", "told"),
    [("config.json", "no config.json"), ("tokenizer.json", "no tokenizer"), ("model.safetensors", "no weights")],
)
def test_a_folder_that_is_no_model_is_refused_before_anything_is_made(
    account: Cloud, tmp_path: Path, missing: str, told: str
) -> None:
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_text("{}")
    with pytest.raises(BadModel, match=told):
        deploy(account, model=str(tmp_path))
    assert account.outside.client("s3").list_buckets()["Buckets"] == []


def test_a_quota_of_nothing_is_told_before_anything_is_made(account: Cloud) -> None:
    with pytest.raises(BadAccount, match="Service Quotas"):
        deploy(account, InstanceType="ml.g6.xlarge")
    assert account.outside.client("s3").list_buckets()["Buckets"] == []


def test_a_parameter_that_the_template_lacks_is_named(account: Cloud) -> None:
    with pytest.raises(BadStack, match="no parameter Colour"):
        deploy(account, Colour="blue")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("ROLLBACK_FAILED", "scripts/destroy"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_IN_PROGRESS", "wait for its end"),
    ],
)
def test_a_stack_that_cannot_be_changed_is_refused_with_what_to_do(account: Cloud, status: str, told: str) -> None:
    deploy(account)
    set_status(status)
    with pytest.raises(BadStack, match=told):
        deploy(account)


def test_what_is_left_of_a_failed_first_deployment_is_cleared_away(account: Cloud) -> None:
    deploy(account)
    set_status("ROLLBACK_COMPLETE")
    account.outside.client("ecr").delete_repository(repositoryName="parley-prod-inference", force=True)
    assert deploy(account) is not None
    assert (stack_of(account).describe() or {})["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def test_a_change_that_cloudformation_undid_names_what_failed_first(account: Cloud) -> None:
    deploy(account)
    stack = stack_of(account)
    moto_stack = set_status("UPDATE_ROLLBACK_COMPLETE")
    moto_stack._add_stack_event("CREATE_FAILED", resource_status_reason="no such instance type here")
    with pytest.raises(ChangeFailed, match="no such instance type here"):
        stack._follow(set(), good=("UPDATE_COMPLETE",))


def set_status(status: str) -> Any:
    """Moto's own record of the stack, put into a state that moto never reaches by itself."""
    from moto.cloudformation.models import cloudformation_backends

    (stack,) = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    stack.status = status
    return stack


def test_no_credentials_and_no_region_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from scripts.deployment.__main__ import main

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert main(["--yes"]) == 2
    assert "no region is set" in capsys.readouterr().err
    assert main(["--yes", "--region", "eu-west-1"]) == 2
    told = capsys.readouterr().err
    assert "no credentials found" in told
    assert len(told.strip().splitlines()) == 1


def test_a_region_that_is_none_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts.deployment.__main__ import main

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(["--yes", "--region", "eu-nowhere-1"]) == 2
    told = capsys.readouterr().err
    assert "is that a region" in told
    assert len(told.strip().splitlines()) == 1


def test_destroy_keeps_what_people_wrote(account: Cloud) -> None:
    deploy(account)
    destroyer = Destroyer(account.session, "parley-prod", lambda text: None, lambda seconds: None)
    held = destroyer.holdings()
    assert {place.partition(" ")[0] for place in held} == {
        "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::ECR::Repository",
    }  # fmt: skip
    destroyer.run(delete_data=False)
    assert stack_of(account).describe() is None
    assert destroyer.secrets() == ["/parley-prod/signing-key"]


def test_destroy_with_the_data_leaves_nothing_of_the_stage(account: Cloud) -> None:
    outputs = deploy(account)
    assert outputs is not None
    account.outside.client("s3").put_object(Bucket=outputs["BucketName"], Key="model/in/x", Body=b"what somebody wrote")
    calls: list[str] = []
    destroyer = Destroyer(account.session, "parley-prod", calls.append, lambda seconds: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(destroyer.stack, "delete", lambda: calls.append("stack"))  # moto deletes what a stack retains
        destroyer.run(delete_data=True)
    assert calls[0] == "stack", "the stack goes first: what uses the data stops"
    names = [b["Name"] for b in account.outside.client("s3").list_buckets()["Buckets"]]
    assert all(name.startswith("parley-artefacts-") for name in names)
    assert account.outside.client("dynamodb").list_tables()["TableNames"] == []
    assert destroyer.secrets() == []


def test_destroy_of_nothing_says_so(account: Cloud) -> None:
    with pytest.raises(BadStack, match="nothing to do"):
        Destroyer(account.session, "parley-none", lambda text: None).holdings()
