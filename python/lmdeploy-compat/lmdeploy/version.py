"""The release whose interface this is; turgo's own is lmdeploy.__turgo_version__."""

__version__ = "0.3.0"
short_version = __version__
version_info = (0, 3, 0)
