"""OpenAI-compatible client."""
