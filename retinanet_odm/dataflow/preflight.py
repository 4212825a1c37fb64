"""What Google says of a project before anything is sent there: each check is a request, and one line if it fails."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from retinanet_odm.errors import UsageError

DATAFLOW = "https://dataflow.googleapis.com/v1b3"
COMPUTE = "https://compute.googleapis.com/compute/v1"
STORAGE = "https://storage.googleapis.com/storage/v1"
IAM = "https://iam.googleapis.com/v1"
RESOURCES = "https://cloudresourcemanager.googleapis.com/v3"
REGISTRY = "https://artifactregistry.googleapis.com/v1"

_JOB_PERMISSIONS = ("dataflow.jobs.create", "dataflow.jobs.get", "dataflow.messages.list")
# Listing tells a missing object from a forbidden one; a shard is renamed, so what is written is deleted too.
_OBJECT_PERMISSIONS = tuple(f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list"))
_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<name>[^:@]+)"
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a job would run.

    Attributes:
      project, region: of the job.
      buckets: that it reads or writes; the first is for its temporary files.
      subnetwork: name or URL; "" for that of the network "default".
      private: whether workers have no addresses of their own.
      service_account: the workers' e-mail address; "" for the project's own.
      image: of the workers; "" for Beam's.
      gpu: type, of one for each worker; "" for none.
    """

    project: str
    region: str
    buckets: tuple[str, ...]
    subnetwork: str = ""
    private: bool = True
    service_account: str = ""
    image: str = ""
    gpu: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """HTTP status, and the JSON object that came with it."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """What Google says about a fault, in one line."""
        said = self.body.get("error", {}).get("message", "")
        return " ".join(said.split()) or f"HTTP status {self.status}"

    @property
    def is_off(self) -> bool:
        """Whether the API is not enabled in the project."""
        return self.status == 403 and "SERVICE_DISABLED" in str(self.body)


class Google(Protocol):
    """Google's APIs: GET without a body, POST with one."""

    def ask(self, url: str, body: dict[str, Any] | None = None) -> Answer:
        """The answer to a request.

        Raises:
          UsageError: there is none, for want of credentials or of a network.
        """


def check_project(target: Target, google: Google) -> Iterator[str]:
    """A line for each thing that would make the job fail, with what to do."""
    for check in _CHECKS:
        yield from check(target, google)


def _job(target: Target, google: Google) -> Iterator[str]:
    answer = google.ask(f"{DATAFLOW}/projects/{target.project}/locations/{target.region}/jobs?pageSize=1")
    if answer.is_off:
        yield _enable("dataflow", target)
    elif answer.status == 403:
        yield f"project {target.project}: no permission for Dataflow (role roles/dataflow.developer): {answer.message}"
    elif answer.status != 200:
        yield f"project {target.project}, region {target.region}: Dataflow answers: {answer.message}"


def _permissions(target: Target, google: Google) -> Iterator[str]:
    url = f"{RESOURCES}/projects/{target.project}:testIamPermissions"
    answer = google.ask(url, {"permissions": list(_JOB_PERMISSIONS)})
    # Where it is off, nobody can tell: Dataflow itself will.
    if answer.status == 200:
        yield from _missing(answer, _JOB_PERMISSIONS, f"project {target.project}", "roles/dataflow.developer")


def _region(target: Target, google: Google) -> Iterator[str]:
    answer = google.ask(f"{COMPUTE}/projects/{target.project}/regions/{target.region}")
    if answer.is_off:
        yield _enable("compute", target)
    elif answer.status == 404:
        yield f"--region: there is no region {target.region} for project {target.project}"
    elif answer.status == 200 and target.gpu:
        yield from _quota(answer.body.get("quotas", []), target)


def _quota(quotas: list[dict[str, Any]], target: Target) -> Iterator[str]:
    metric = f"{target.gpu.replace('-tesla-', '-').replace('-', '_').upper()}_GPUS"
    free = next((quota["limit"] - quota["usage"] for quota in quotas if quota["metric"] == metric), 0)
    if free < 1:
        yield f"--gpu: no {target.gpu} is free in {target.region}: ask for quota {metric}, or try another region"


def _network(target: Target, google: Google) -> Iterator[str]:
    if not target.private:
        return
    name = target.subnetwork.rpartition("/")[2] or "default"
    answer = google.ask(f"{COMPUTE}/projects/{_host(target)}/regions/{target.region}/subnetworks/{name}")
    if answer.status == 404:
        yield f"--subnetwork: there is no {name} in {target.region}: name one, such as regions/R/subnetworks/S"
    elif answer.status == 200 and not answer.body.get("privateIpGoogleAccess"):
        yield (
            f"subnetwork {name}: workers without public addresses would not reach Google's services: gcloud compute"
            f" networks subnets update {name} --region={target.region} --project={_host(target)}"
            " --enable-private-ip-google-access, or --public_ips"
        )


def _host(target: Target) -> str:
    """The project of the subnetwork, which may be shared from another."""
    found = re.search(r"projects/([^/]+)/", target.subnetwork)
    return found[1] if found else target.project


def _buckets(target: Target, google: Google) -> Iterator[str]:
    for number, bucket in enumerate(target.buckets):
        answer = google.ask(
            f"{STORAGE}/b/{bucket}/iam/testPermissions?" + "&".join(map(_permission, _OBJECT_PERMISSIONS))
        )
        if answer.status == 404:
            yield f"there is no bucket {bucket}"
        elif answer.status == 200:
            wanted = _OBJECT_PERMISSIONS if number == 0 else ("storage.objects.get", "storage.objects.list")
            yield from _missing(answer, wanted, f"bucket {bucket}", "roles/storage.objectAdmin")
        else:
            yield f"bucket {bucket}: {answer.message}"


def _permission(name: str) -> str:
    return f"permissions={name}"


def _account(target: Target, google: Google) -> Iterator[str]:
    if not target.service_account:
        return
    name = f"serviceAccounts/{target.service_account}"
    wanted = ("iam.serviceAccounts.actAs",)
    answer = google.ask(f"{IAM}/projects/-/{name}:testIamPermissions", {"permissions": list(wanted)})
    if answer.status == 404:
        yield f"--service_account_email: there is no service account {target.service_account}"
    elif answer.status == 200:
        yield from _missing(answer, wanted, f"service account {target.service_account}", "roles/iam.serviceAccountUser")


def _image(target: Target, google: Google) -> Iterator[str]:
    parts = _IMAGE.match(target.image)
    if not parts:
        return  # of another registry, which is not Google's to tell about
    where = f"projects/{parts['project']}/locations/{parts['location']}/repositories/{parts['repository']}"
    rest = target.image[parts.end() :]
    version = f"versions/{rest[1:]}" if rest.startswith("@") else f"tags/{rest[1:] or 'latest'}"
    answer = google.ask(f"{REGISTRY}/{where}/packages/{quote(parts['name'], safe='')}/{version}")
    if answer.status == 404:
        yield f"--sdk_container_image: there is no image {target.image}"


def _missing(answer: Answer, wanted: tuple[str, ...], where: str, role: str) -> Iterator[str]:
    missing = [name for name in wanted if name not in answer.body.get("permissions", ())]
    if missing:
        yield f"{where}: no permission {', '.join(missing)} (role {role} has it)"


def _enable(api: str, target: Target) -> str:
    name = f"{api}.googleapis.com"
    return f"project {target.project}: {name} is off: gcloud services enable {name} --project={target.project}"


_CHECKS: tuple[Callable[[Target, Google], Iterator[str]], ...] = (
    _job,
    _permissions,
    _region,
    _network,
    _buckets,
    _account,
    _image,
)


class Session:
    """Google's APIs over HTTP, as one user; see Google."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def ask(self, url: str, body: dict[str, Any] | None = None) -> Answer:
        """See Google.ask."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            response = self._session.request("GET" if body is None else "POST", url, json=body, timeout=_SECONDS)
        except (GoogleAuthError, RequestException) as error:
            raise UsageError(f"cannot ask {url.split('/')[2]}: {' '.join(str(error).split())}") from error
        try:
            value = response.json()
        except ValueError:  # an error page of something between us and Google
            value = {}
        return Answer(status=response.status_code, body=value if isinstance(value, dict) else {})


_SECONDS = 30.0


def log_in() -> tuple[Session, str]:
    """A session as the user whose credentials this machine has, and the project that goes with them, or "".

    Raises:
      UsageError: there are no credentials.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except DefaultCredentialsError as error:
        raise UsageError(
            "no Google credentials on this machine: gcloud auth application-default login"
            f" ({' '.join(str(error).split())})"
        ) from error
    return Session(AuthorizedSession(credentials)), project or ""
