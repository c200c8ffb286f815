"""Ship: versions of models, each with its card, and which one is in use."""
