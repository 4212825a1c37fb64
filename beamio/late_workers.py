"""Local worker processes that start so slowly that the job has failed before they ask for work.

Beam 2.77 tells only those that have connected that the job is over (ControlConnection.close in
apache_beam/runners/portability/fn_api_runner/worker_handlers.py). One that connects later would wait for a word for
ever, and the command for it to end.
"""

import functools

from apache_beam.runners.portability.fn_api_runner.worker_handlers import BeamFnControlServicer, ControlConnection


@functools.cache
def send_home() -> None:
    """From now on the word waits for them; a second one, to a worker that has connected, is never read."""
    close = ControlConnection.close

    def close_for_all(connection: ControlConnection) -> None:
        connection.push(BeamFnControlServicer._DONE_MARKER)
        close(connection)

    ControlConnection.close = close_for_all
