"""The recipe of the model that the repository carries: its data, tokenizer and architecture. No server imports it."""
