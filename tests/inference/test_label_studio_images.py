"""What is read, from whom, and with which token."""

from collections.abc import Iterator

import pytest

from inference.label_studio_images import TaskImages
from retinanet_odm.errors import DataError, UsageError
from tests.inference.label_studio_server import ACCESS, LEGACY, PERSONAL, LabelStudioServer, serve_images


@pytest.fixture
def server() -> Iterator[LabelStudioServer]:
    with serve_images() as running:
        running.files["/data/upload/1/a%20b.png"] = b"an image"
        yield running


@pytest.fixture
def other() -> Iterator[LabelStudioServer]:
    """A server that Label Studio's token is not for."""
    with serve_images() as running:
        yield running


ADDRESSES = [
    ("/data/upload/1/a%20b.png", "a path, as Label Studio gives it"),
    ("/data/upload/1/a b.png", "with a space"),
    ("{server}/data/upload/1/a%20b.png", "with the server"),
    ("/moved", "a redirect within the server"),
]


@pytest.mark.parametrize(("address", "reason"), ADDRESSES)
def test_images_of_label_studio(server: LabelStudioServer, address: str, reason: str) -> None:
    server.moved["/moved"] = "/data/upload/1/a%20b.png"
    images = TaskImages(server.address, LEGACY, ())
    assert images.read(address.format(server=server.address)) == b"an image", reason
    assert {given for _, given in server.asked} == {f"Token {LEGACY}"}


def test_a_personal_access_token_is_exchanged_once(server: LabelStudioServer) -> None:
    images = TaskImages(f"{server.address}/", PERSONAL, ())
    path = "/data/upload/1/a%20b.png"
    assert [images.read(path), images.read(path)] == [b"an image"] * 2
    assert server.asked == [("/api/token/refresh/", None), (path, f"Bearer {ACCESS}"), (path, f"Bearer {ACCESS}")]


def test_other_servers_get_no_token(server: LabelStudioServer, other: LabelStudioServer) -> None:
    other.moved["/a.png"] = f"{server.address}/data/upload/1/a%20b.png"
    images = TaskImages(server.address, LEGACY, [other.address.removeprefix("http://")])
    assert images.read(f"{other.address}/a.png") == b"an image"
    assert other.asked == [("/a.png", None)]
    with pytest.raises(DataError, match="401 Unauthorized"):
        images.read(f"{other.address}/b.png")


def test_images_in_a_storage_come_by_way_of_label_studio(server: LabelStudioServer, other: LabelStudioServer) -> None:
    """It sends the content, or an address with a signature, whose server the user has to allow."""
    sent, signed = ("/tasks/5/resolve/?fileuri=czM6Ly9iL2EucG5n", "/tasks/5/resolve/?fileuri=Z3M6Ly9iL2EucG5n")
    server.files[sent] = b"in s3://b/a.png"
    server.moved[signed] = f"{other.address}/a.png?signature=1"
    images = TaskImages(server.address, LEGACY, ())
    assert images.read("s3://b/a.png", 5) == b"in s3://b/a.png"
    with pytest.raises(DataError, match=r"found gs://b/a.png, which leads to http://127.*/a.png\?signature=1"):
        images.read("gs://b/a.png", 5)
    with pytest.raises(DataError, match=r"found s3://b/a.png$"):
        images.read("s3://b/a.png", "5/../6")
    assert other.asked == []


def test_netrc_is_not_read(
    server: LabelStudioServer, other: LabelStudioServer, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1\nlogin me\npassword secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    images = TaskImages(server.address, LEGACY, [other.address.removeprefix("http://")])
    images.read("/data/upload/1/a%20b.png")
    with pytest.raises(DataError):
        images.read(f"{other.address}/b.png")
    assert [given for _, given in server.asked + other.asked] == [f"Token {LEGACY}", None]


REFUSED = [
    ("{other}/a.png", "another port is another server"),
    ("//{host}/a.png", "without a scheme"),
    ("http://127.0.0.1/a.png", "the port of the scheme"),
    ("http://localhost:{port}/a.png", "another name is another server"),
    ("http://169.254.169.254/latest/meta-data/", "a service of clouds"),
    ("{server}@{host}/a.png", "a server in the place of a user"),
    ("http://me@127.0.0.1:{port}/a.png", "a user"),
    ("https://127.0.0.1:{port}/a.png", "another scheme"),
    ("file:///etc/passwd", "a local file"),
    ("FILE:/etc/passwd", "the same"),
    ("data:image/png;base64,AAAA", "an image in the address"),
    ("s3://bucket/a.png", "a bucket"),
    ("gs://bucket/a.png", "a bucket"),
    ("ftp://127.0.0.1/a.png", "another protocol"),
    ("http://[/a.png", "no address"),
    ("http://127.0.0.1:99999/a.png", "no port"),
    ("C:\\images\\a.png", "a path of Windows"),
    ("/leads-away", "an allowed server that leads to another"),
    ("/leads-to-a-file", "an allowed server that leads to a file"),
]


@pytest.mark.parametrize(("address", "reason"), REFUSED)
def test_no_other_server_is_asked(
    server: LabelStudioServer, other: LabelStudioServer, address: str, reason: str
) -> None:
    server.moved = {"/leads-away": f"{other.address}/a.png", "/leads-to-a-file": "file:///etc/passwd"}
    host = other.address.removeprefix("http://")
    port = server.server_address[1]
    given = address.format(server=server.address, other=other.address, host=host, port=port)
    with pytest.raises(DataError, match=r"^expected (an|the) address of ") as caught:
        TaskImages(server.address, LEGACY, ()).read(given)
    assert caught.value.reason == "image_not_allowed" and "\n" not in str(caught.value), reason
    assert other.asked == [] and {path for path, _ in server.asked} <= set(server.moved)


PATHS = [
    ("/etc/passwd", "a path is one of the server, not of this machine"),
    ("../../etc/passwd", "the same"),
    ("http:///etc/passwd", "no host: taken as a path"),
    ("{server}\\@{host}/a.png", "libraries read it differently: it is sent as it was checked, to Label Studio"),
]


@pytest.mark.parametrize(("address", "reason"), PATHS)
def test_paths_are_those_of_label_studio(
    server: LabelStudioServer, other: LabelStudioServer, address: str, reason: str
) -> None:
    given = address.format(server=server.address, host=other.address.removeprefix("http://"))
    with pytest.raises(DataError, match="404 Not Found"):
        TaskImages(server.address, LEGACY, ()).read(given)
    assert len(server.asked) == 1 and other.asked == [], reason


def test_what_cannot_be_read(server: LabelStudioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.moved["/round"] = "/round"
    images = TaskImages(server.address, LEGACY, ())
    with pytest.raises(DataError, match="/round: more than 5 redirects"):
        images.read("/round")
    for token in ("", "wrong"):
        with pytest.raises(DataError, match="401 Unauthorized: set LABEL_STUDIO_API_KEY"):
            TaskImages(server.address, token, ()).read("/a.png")
    with pytest.raises(DataError, match="Label Studio refuses the token in LABEL_STUDIO_API_KEY"):
        TaskImages(server.address, "a.b.c", ()).read("/a.png")
    with pytest.raises(DataError, match=r"http://127.0.0.1:1/a.png: cannot be read: ConnectionError"):
        TaskImages("http://127.0.0.1:1", LEGACY, ()).read("/a.png")
    monkeypatch.setattr("inference.label_studio_images._MAX_BYTES", 7)
    with pytest.raises(DataError, match="more than 0 MB"):
        images.read("/data/upload/1/a b.png")


BAD = [
    ("localhost:8080", (), "--url: expected the address of Label Studio, such as http://localhost:8080"),
    ("file:///data", (), "--url: "),
    ("http://me@localhost", (), "--url: "),
    ("http://localhost:99999", (), "--url: "),
    ("", (), "--url: "),
    ("http://localhost", ("http://images.org",), "--image_hosts: expected HOST or HOST:PORT, found http://images.org"),
    ("http://localhost", ("images.org/a",), "--image_hosts: "),
    ("http://localhost", ("",), "--image_hosts: "),
]


@pytest.mark.parametrize(("url", "hosts", "message"), BAD)
def test_bad_servers(url: str, hosts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TaskImages(url, LEGACY, hosts)
    assert str(caught.value).startswith(message)
