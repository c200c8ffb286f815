"""The shapes of OpenAI's public API: what a request may say, and what an answer looks like. No input or output."""
