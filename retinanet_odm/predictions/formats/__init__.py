"""Exporters: pure functions from rows to the formats that other tools read."""
