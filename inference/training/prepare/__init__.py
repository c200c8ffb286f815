"""Prepare: records become clean, distinct, split and tokenised training data, with a report of what left and why."""
