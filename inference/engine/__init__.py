"""The engine: token ids in, token ids out. Knows nothing of text, templates or HTTP."""
