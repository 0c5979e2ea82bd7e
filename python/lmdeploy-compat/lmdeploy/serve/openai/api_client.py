"""The client under its old path: `from lmdeploy.serve.openai.api_client import APIClient`."""

from turgo import APIClient

__all__ = ["APIClient"]
