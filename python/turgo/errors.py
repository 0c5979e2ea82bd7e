"""What goes wrong is a TurgoError in one line (expected, got, what to do), and also the built-in exception that fits."""


class TurgoError(Exception):
    """Base of all errors of this package."""


class InvalidArgumentError(TurgoError, ValueError, TypeError):
    """A parameter, prompt or option is of the wrong type or out of its range."""


class NotFoundError(TurgoError, FileNotFoundError, LookupError):
    """A file, model or session does not exist."""


class CorruptError(TurgoError, ValueError):
    """A file's content breaks its format."""


class UnsupportedError(TurgoError, NotImplementedError):
    """Well-formed, but nothing here can handle it."""


class TooLongError(TurgoError, ValueError):
    """More tokens than the context holds."""


class ResourceExhaustedError(TurgoError, MemoryError):
    """Memory, disk or the queue is full."""


class InputOutputError(TurgoError, OSError):
    """The operating system or a server said no."""


class CancelledError(TurgoError):
    """The pipeline was closed, or the request stopped, before its answer was whole."""
