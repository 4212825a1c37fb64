"""Settings of all tests."""

import pytest
from hypothesis import settings

# The duration of an example is not meaningful on a shared machine.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Some tests log names that are not UTF-8; a worker could not send a report that contains them."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
