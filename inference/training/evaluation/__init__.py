"""Measures a model through any OpenAI-compatible server: sets, answers, verdicts, metrics, report."""
