"""The error for content that is refused."""


class ContentError(ValueError):
    """The content of a file is refused. The message says why in one line; the caller adds the file and a remedy."""


def why(error: BaseException) -> str:
    """Return in one line why a file could not be read: of an OSError the reason alone, without number and path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:160] or type(error).__name__
