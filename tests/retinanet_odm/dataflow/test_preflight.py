"""The checks of a project before a job is sent there."""

import pytest
import requests

from retinanet_odm.dataflow import preflight
from retinanet_odm.dataflow.preflight import ApiResponse, JobTarget, check_project
from retinanet_odm.errors import UsageError

IMAGE = "europe-west4-docker.pkg.dev/p/images/odm/score:1"
TARGET = JobTarget(
    project="p",
    region="europe-west4",
    buckets=("staging", "images"),
    service_account="worker@p.iam.gserviceaccount.com",
    image=IMAGE,
    gpu="nvidia-tesla-t4",
)
OBJECTS = ["storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"]
GOOD = {
    "/locations/europe-west4/jobs?pageSize=1": {},
    "/projects/p:testIamPermissions": {
        "permissions": ["dataflow.jobs.create", "dataflow.jobs.get", "dataflow.messages.list"]
    },
    "/regions/europe-west4": {"quotas": [{"metric": "NVIDIA_T4_GPUS", "limit": 4.0, "usage": 1.0}]},
    "/subnetworks/default": {"privateIpGoogleAccess": True},
    "/b/staging/iam/testPermissions": {"permissions": OBJECTS},
    "/b/images/iam/testPermissions": {"permissions": OBJECTS[2:]},
    "/serviceAccounts/worker@p.iam.gserviceaccount.com:testIamPermissions": {
        "permissions": ["iam.serviceAccounts.actAs"]
    },
    "/repositories/images/packages/odm%2Fscore/tags/1": {},
}
OFF = {"error": {"message": "API is off", "details": [{"reason": "SERVICE_DISABLED"}]}}


class Google:
    """Gives one response that the test defines, and good ones to all other requests."""

    def __init__(self, part: str = "", status: int = 200, body: dict | None = None) -> None:
        self.part, self.answer = part, ApiResponse(status=status, body=body or {})
        self.asked: list[str] = []

    def request(self, url: str, body: dict | None = None) -> ApiResponse:
        known = next(end for end in GOOD if url.partition("?permissions")[0].endswith(end))
        self.asked.append(known)
        assert (body is None) == ("testIamPermissions" not in url)
        return self.answer if known == self.part else ApiResponse(status=200, body=GOOD[known])


def test_a_good_project_has_no_problems_and_every_check_has_run():
    google = Google()
    assert list(check_project(TARGET, google)) == []
    assert google.asked == list(GOOD)


FAULTS = [
    ("/jobs?", 403, OFF, "gcloud services enable dataflow.googleapis.com --project=p", "Dataflow is off"),
    ("/jobs?", 403, {}, "roles/dataflow.developer", "not allowed to look"),
    ("/jobs?", 400, {"error": {"message": "bad\nlocation"}}, "Dataflow responds: bad location", "Google's own message"),
    ("/projects/p:test", 200, {}, "dataflow.jobs.create, dataflow.jobs.get", "an empty list means none of them"),
    ("/regions/europe-west4", 404, {}, "--region: there is no region europe-west4", "mistyped"),
    ("/regions/europe-west4", 403, OFF, "enable compute.googleapis.com", "Compute Engine is off"),
    ("/regions/europe-west4", 200, {"quotas": []}, "no nvidia-tesla-t4 is free .*NVIDIA_T4_GPUS", "no GPU there"),
    ("/subnetworks/", 404, {}, "--subnetwork: there is no default in europe-west4", "a project without the network"),
    ("/subnetworks/", 200, {}, "--enable-private-ip-google-access, or --public_ips", "as new projects are"),
    ("/b/staging/", 404, {}, "there is no bucket staging", "mistyped"),
    ("/b/staging/", 200, {"permissions": OBJECTS[2:]}, "staging: no permission storage.objects.create", "read only"),
    ("/b/staging/", 401, {"error": {"message": "who are you?"}}, "staging: who are you", "Google's own message"),
    ("/b/images/", 200, {}, "images: no permission storage.objects.get", "no right to read"),
    ("/serviceAccounts/", 404, {}, "there is no service account worker@", "mistyped"),
    ("/serviceAccounts/", 200, {}, "roles/iam.serviceAccountUser", "not allowed to use it"),
    ("/packages/", 404, {}, f"--sdk_container_image: there is no image {IMAGE}", "not pushed"),
]


@pytest.mark.parametrize(("part", "status", "body", "words", "reason"), FAULTS)
def test_each_fault_is_one_line(part, status, body, words, reason):
    known = next(end for end in GOOD if part in f"{end}/")
    faults = list(check_project(TARGET, Google(known, status, body)))
    assert len(faults) == 1 and "\n" not in faults[0], reason
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(faults[0])


NO_FAULT = [
    ("/projects/p:testIamPermissions", 403, "the API for this check is disabled: Dataflow will check"),
    ("/subnetworks/default", 403, "a network of another project, which one may use but not look at"),
    ("/repositories/images/packages/odm%2Fscore/tags/1", 403, "a registry that workers may read, and the user not"),
]


@pytest.mark.parametrize(("end", "status", "reason"), NO_FAULT)
def test_what_cannot_be_checked_is_no_problem(end, status, reason):
    assert list(check_project(TARGET, Google(end, status))) == [], reason


ASKED = [
    (JobTarget(project="p", region="r", buckets=(), private=False), 3, "public addresses need no network of a kind"),
    (JobTarget(project="p", region="r", buckets=(), image="docker.io/me/score"), 4, "a registry that is not Google's"),
]


@pytest.mark.parametrize(("target", "count", "reason"), ASKED)
def test_only_needed_checks_run(target, count, reason):
    asked: list[str] = []

    class Counting(Google):
        def request(self, url: str, body: dict | None = None) -> ApiResponse:
            del body
            asked.append(url)
            return ApiResponse(status=200, body={"privateIpGoogleAccess": True, "permissions": _all_permissions()})

    assert list(check_project(target, Counting())) == []
    assert len(asked) == count, reason


def _all_permissions() -> list[str]:
    return [name for body in GOOD.values() for name in body.get("permissions", [])]


IMAGES = [
    ("eu-docker.pkg.dev/p/r/a@sha256:12", "/projects/p/locations/eu/repositories/r/packages/a/versions/sha256:12"),
    ("eu-docker.pkg.dev/p/r/a", "/projects/p/locations/eu/repositories/r/packages/a/tags/latest"),
]


@pytest.mark.parametrize(("image", "end"), IMAGES)
def test_an_image_is_found_by_tag_or_digest(image, end):
    asked = []

    class Missing(Google):
        def request(self, url: str, body: dict | None = None) -> ApiResponse:
            del body
            asked.append(url)
            return ApiResponse(status=404, body={})

    list(check_project(JobTarget(project="p", region="r", buckets=(), image=image, private=False), Missing()))
    assert asked[-1].endswith(end)


def test_a_network_that_is_down_is_one_line():
    with pytest.raises(UsageError, match=r"^cannot reach 127.0.0.1:1: .*refused") as caught:
        preflight.GoogleSession(requests.Session()).request("http://127.0.0.1:1/x")
    assert "\n" not in str(caught.value)


def test_no_credentials_are_one_line(monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    with pytest.raises(UsageError, match=r"gcloud auth application-default login .*/no/such/key.json"):
        preflight.log_in()
