"""Parley's own code that runs in a Lambda. `stages` is the path of a message; everything else serves it."""
