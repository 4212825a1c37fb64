import pytest

from inference.review_page import server
from retinanet_odm.errors import UsageError


def test_a_port_in_use_is_one_line() -> None:
    with server.listening(0) as opened:
        host, port = opened.getsockname()
        assert host == "127.0.0.1", "other machines cannot reach it"
        used = f"--port: cannot listen on port {port}: Address already in use"
        with pytest.raises(UsageError, match=used), server.listening(port):
            pass
