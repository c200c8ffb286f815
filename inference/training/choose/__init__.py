"""Choose: base models to begin from, with what they need, computed from their configurations."""
