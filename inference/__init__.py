"""Scoring: images in, one prediction row per image out, and what can be done with the rows of a finished run.

Begin with `main`, which has a function per command, and `options`, the command line. Each command is a module of its
name: `score`, `convert`, `repeats`, `evaluate`, `detect`; `score --estimate` is `estimate`. `score` makes a `request`,
finds what of it is still to do, and starts the Beam job of `pipeline` and `transforms` if images have no row yet.

Below are three rooms, each imports only those after it: `rows` (prediction rows and the output folder), `model`
(loading and calling a model), `image_sources` (finding and reading images). TensorFlow is imported only where a model
is loaded, Keras never.
"""
