"""Checks a Google Cloud project before a job is sent there: each check is a request, and one line if it fails.

Begin with `check_project`. A new check is a function of _CHECKS that yields the lines.
"""

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
# Without permission to list, a missing object looks like a forbidden one; temporary files are deleted.
_OBJECT_PERMISSIONS = tuple(f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list"))
_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<name>[^:@]+)"
)

_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class JobTarget:
    """What a job would use.

    Attributes:
      project, region: Where it would run.
      buckets: Buckets that it would read or write; the first is for its temporary files.
      subnetwork: Name or URL; "" for that of the network "default".
      private: Whether workers have no public addresses.
      service_account: E-mail address of the workers' account; "" for the project's default.
      image: Container image of the workers; "" for Beam's.
      gpu: Type of the GPU of each worker; "" for none.
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
class ApiResponse:
    """HTTP status and JSON object of a response."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """Google's error message in one line."""
        text = self.body.get("error", {}).get("message", "")
        return " ".join(text.split()) or f"HTTP status {self.status}"

    @property
    def is_disabled(self) -> bool:
        """Whether the API is not enabled in the project."""
        return self.status == 403 and "SERVICE_DISABLED" in str(self.body)


class GoogleApi(Protocol):
    """Google's APIs."""

    def request(self, url: str, body: dict[str, Any] | None = None) -> ApiResponse:
        """Send a request, GET without a body and POST with one, and return the response.

        Raises:
          UsageError: There is no response, because credentials or network are missing.
        """


def check_project(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    """Yield a line for each problem that would make the job fail, with the solution."""
    # All checks run, also after a failed one: the user corrects everything at once.
    for check in _CHECKS:
        yield from check(target, google)


def _job(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    response = google.request(f"{DATAFLOW}/projects/{target.project}/locations/{target.region}/jobs?pageSize=1")
    if response.is_disabled:
        yield _enable("dataflow", target)
    elif response.status == 403:
        role = "role roles/dataflow.developer"
        yield f"project {target.project}: no permission for Dataflow ({role}): {response.message}"
    elif response.status != 200:
        yield f"project {target.project}, region {target.region}: Dataflow responds: {response.message}"


def _permissions(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    url = f"{RESOURCES}/projects/{target.project}:testIamPermissions"
    response = google.request(url, {"permissions": list(_JOB_PERMISSIONS)})
    # If this API is disabled, the permissions are unknown; Dataflow will check them.
    if response.status == 200:
        yield from _missing(response, _JOB_PERMISSIONS, f"project {target.project}", "roles/dataflow.developer")


def _region(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    response = google.request(f"{COMPUTE}/projects/{target.project}/regions/{target.region}")
    if response.is_disabled:
        yield _enable("compute", target)
    elif response.status == 404:
        yield f"--region: there is no region {target.region} for project {target.project}"
    elif response.status == 200 and target.gpu:
        yield from _quota(response.body.get("quotas", []), target)


def _quota(quotas: list[dict[str, Any]], target: JobTarget) -> Iterator[str]:
    # Compute Engine names quotas like NVIDIA_T4_GPUS for nvidia-tesla-t4.
    metric = f"{target.gpu.replace('-tesla-', '-').replace('-', '_').upper()}_GPUS"
    free = next((quota["limit"] - quota["usage"] for quota in quotas if quota["metric"] == metric), 0)
    if free < 1:
        where = f"{target.gpu} is free in {target.region}"
        yield f"--accelerator: no {where}: ask for quota {metric}, or try another region"


def _network(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    # Workers with public addresses reach Google's services over the internet, from any subnetwork.
    if not target.private:
        return
    # The flag takes a name, a path or a URL; all end with the name.
    name = target.subnetwork.rpartition("/")[2] or "default"
    response = google.request(
        f"{COMPUTE}/projects/{_network_project(target)}/regions/{target.region}/subnetworks/{name}"
    )
    if response.status == 404:
        yield f"--subnetwork: there is no {name} in {target.region}: name one, such as regions/R/subnetworks/S"
    elif response.status == 200 and not response.body.get("privateIpGoogleAccess"):
        yield (
            f"subnetwork {name}: workers without public addresses would not reach Google's services: gcloud compute"
            f" networks subnets update {name} --region={target.region} --project={_network_project(target)}"
            " --enable-private-ip-google-access, or --public_ips"
        )


def _network_project(target: JobTarget) -> str:
    """Return the project of the subnetwork, which may belong to another project (Shared VPC)."""
    found = re.search(r"projects/([^/]+)/", target.subnetwork)
    return found[1] if found else target.project


def _buckets(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    for number, bucket in enumerate(target.buckets):
        response = google.request(
            f"{STORAGE}/b/{bucket}/iam/testPermissions?" + "&".join(map(_permission, _OBJECT_PERMISSIONS))
        )
        if response.status == 404:
            yield f"there is no bucket {bucket}"
        elif response.status == 200:
            # Only the first bucket must be writable: inputs may be read-only, and the program tests its own output.
            wanted = _OBJECT_PERMISSIONS if number == 0 else ("storage.objects.get", "storage.objects.list")
            yield from _missing(response, wanted, f"bucket {bucket}", "roles/storage.objectAdmin")
        else:
            yield f"bucket {bucket}: {response.message}"


def _permission(name: str) -> str:
    return f"permissions={name}"


def _account(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    if not target.service_account:
        return
    # The user must be allowed to act as the workers' account, or Dataflow refuses the job.
    name = f"serviceAccounts/{target.service_account}"
    wanted = ("iam.serviceAccounts.actAs",)
    response = google.request(f"{IAM}/projects/-/{name}:testIamPermissions", {"permissions": list(wanted)})
    if response.status == 404:
        yield f"--service_account_email: there is no service account {target.service_account}"
    elif response.status == 200:
        yield from _missing(
            response, wanted, f"service account {target.service_account}", "roles/iam.serviceAccountUser"
        )


def _image(target: JobTarget, google: GoogleApi) -> Iterator[str]:
    parts = _IMAGE.match(target.image)
    if not parts:
        return  # of another registry, which Google does not know
    parent = f"projects/{parts['project']}/locations/{parts['location']}/repositories/{parts['repository']}"
    rest = target.image[parts.end() :]
    # An image is named by digest, after @, or by tag, after a colon; without either it is "latest".
    version = f"versions/{rest[1:]}" if rest.startswith("@") else f"tags/{rest[1:] or 'latest'}"
    response = google.request(f"{REGISTRY}/{parent}/packages/{quote(parts['name'], safe='')}/{version}")
    if response.status == 404:
        yield f"--sdk_container_image: there is no image {target.image}"


def _missing(response: ApiResponse, wanted: tuple[str, ...], where: str, role: str) -> Iterator[str]:
    missing = [name for name in wanted if name not in response.body.get("permissions", ())]
    if missing:
        yield f"{where}: no permission {', '.join(missing)} (role {role} has it)"


def _enable(api: str, target: JobTarget) -> str:
    name = f"{api}.googleapis.com"
    return f"project {target.project}: {name} is off: gcloud services enable {name} --project={target.project}"


# In the order of their messages: what is wrong with the project as a whole comes first.
_CHECKS: tuple[Callable[[JobTarget, GoogleApi], Iterator[str]], ...] = (
    _job,
    _permissions,
    _region,
    _network,
    _buckets,
    _account,
    _image,
)


class GoogleSession:
    """Google's APIs over HTTP, with the credentials of one user; implements GoogleApi."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def request(self, url: str, body: dict[str, Any] | None = None) -> ApiResponse:
        """See GoogleApi.request."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            response = self._session.request("GET" if body is None else "POST", url, json=body, timeout=_TIMEOUT)
        except (GoogleAuthError, RequestException) as error:
            raise UsageError(f"cannot reach {url.split('/')[2]}: {' '.join(str(error).split())}") from error
        try:
            value = response.json()
        except ValueError:  # an error page of a proxy
            value = {}
        return ApiResponse(status=response.status_code, body=value if isinstance(value, dict) else {})


def log_in() -> tuple[GoogleSession, str]:
    """Return a session with the credentials of this machine, and their project, or "".

    Raises:
      UsageError: There are no credentials.
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
    make_session: Any = AuthorizedSession  # its constructor has no types
    return GoogleSession(make_session(credentials)), project or ""
