"""Messaging platforms, one file each, behind the `Channel` protocol. Knows no stage and no AWS."""
