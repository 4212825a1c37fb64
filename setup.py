"""Shim for tools that look for setup.py (Dataflow staging); everything is said in pyproject.toml."""

from setuptools import setup

setup()
