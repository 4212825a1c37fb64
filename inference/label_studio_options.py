"""Options of label_studio, the command that serves a model to Label Studio: description, flags, values."""

import argparse
from dataclasses import dataclass, field
from typing import Any

from inference.model.options import MODEL_HELP, ModelOptions, add_model_flags, model_options
from inference.rows.thresholds import THRESHOLD_DEFAULT, add_min_score_flag, check_score_flag
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes

TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"  # noqa: S105 - the name of a variable, as Label Studio's own backends call it

LABEL_STUDIO_DESCRIPTION = f"""\
Serve an exported model to Label Studio as its ML backend, until Ctrl-C. Needs the extra [label-studio].

  {TOKEN_VARIABLE}=TOKEN python -m inference label_studio --model MODEL/export --url http://localhost:8080

In a project of Label Studio, choose Settings, Model, Connect model, with the address that is printed. It then asks for
predictions of the tasks that are opened, or of those that are selected in the Data Manager (Retrieve predictions).
Labels are found by name in the labeling interface. Images are read from Label Studio, with the token in
{TOKEN_VARIABLE}, and from the servers in --image_hosts, without it; other addresses and local files are refused.
"""


@dataclass(frozen=True, kw_only=True)
class LabelStudioOptions:
    """Options of ``label_studio``.

    Attributes:
      model: export folder with model.json.
      url: address of Label Studio's server.
      image_hosts: HOST or HOST:PORT of other servers from which images may be read.
      host: name or address of the network interface that the backend listens on.
      port: that it listens on; 0 for a free one.
      min_score: minimum score of the detections that count; BEST and None as in ExportOptions.
      model_options: how the model is called.

    Raises:
      UsageError: a value is out of its range.
    """

    model: str
    url: str = "http://localhost:8080"
    image_hosts: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 9090
    min_score: float | str | None = None
    model_options: ModelOptions = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port: expected a number from 0 to 65535, found {self.port}")
        if not self.host:
            raise UsageError("--host: expected a name or an address of this machine, found an empty name")
        check_score_flag(self.min_score)


def add_label_studio_command(commands: Any) -> None:
    """Add the command to what `add_subparsers` has returned."""
    summary = "serve a model to Label Studio, which asks it for predictions"
    description = LABEL_STUDIO_DESCRIPTION
    parser: argparse.ArgumentParser = commands.add_parser("label_studio", help=summary, description=description)
    # Defaults are those of the dataclass, so that --help and the program agree.
    default = LabelStudioOptions
    parser.add_argument("--model", type=with_slashes, required=True, metavar="DIR", help=MODEL_HELP)
    parser.add_argument(
        "--url", metavar="URL", default=default.url, help="address of Label Studio's server; default: %(default)s"
    )
    parser.add_argument(
        "--image_hosts",
        nargs="+",
        metavar="HOST",
        default=default.image_hosts,
        help="other servers from which images may be read, as HOST or HOST:PORT; default: none",
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default=default.host,
        help="address to listen on; default: %(default)s, which only programs of this machine reach; 0.0.0.0 for all"
        " machines of the network, which then may ask for predictions without a password",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        default=default.port,
        help="port to listen on; default: %(default)s; 0 for a free one",
    )
    add_min_score_flag(parser, default=THRESHOLD_DEFAULT)
    add_model_flags(parser)


def label_studio_options(flags: argparse.Namespace) -> LabelStudioOptions:
    """Return the options that the flags of label_studio specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return LabelStudioOptions(
        model=flags.model.rstrip("/"),
        url=flags.url,
        image_hosts=tuple(flags.image_hosts),
        host=flags.host,
        port=flags.port,
        min_score=flags.min_score,
        model_options=model_options(flags),
    )
