"""Beam's options and runners for the programs that run as Beam jobs. The only room that imports Apache Beam.

Begin with `options`: `beam_options` reads the flags that belong to Beam, strictly, sets the local defaults, and checks
that the chosen runner is available.

`import retinanet_odm.beam` does not import Beam, which takes seconds: --help must not wait for it.
"""

from retinanet_odm.beam.options import BEAM_HELP, beam_options

__all__ = ["BEAM_HELP", "beam_options"]
