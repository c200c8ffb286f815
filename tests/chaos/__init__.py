"""Breaking things on purpose: `scripts/chaos points` and `scripts/chaos histories`. The README here says how."""
