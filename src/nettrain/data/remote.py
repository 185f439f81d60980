"""Tables that lie in other places, named by a URL: what fsspec reads."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from nettrain.data.wording import brief
from nettrain.errors import ConfigError, DataError

_CHUNK = 1 << 22  # bytes that are copied at a time


def is_url(path: str) -> bool:
    """Whether it names a place by a scheme, such as `s3://` or `zip://table.csv::https://`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)", path) is not None


def brief_url(url: str) -> str:
    """The URL as a message shows it: without a password, and without what stands behind a question mark."""
    return brief(re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1@", url).partition("?")[0])


def require_no_password(url: str, key: str, remedy: str) -> None:
    """Raise `ConfigError` for a URL with a password in it, since a run's folder keeps its config."""
    try:
        parts = [urlsplit(part) for part in url.split("::")]
    except ValueError:
        raise ConfigError(f"{key}={brief_url(url)}: this is no URL.") from None
    if any(part.password or "password" in parse_qs(part.query) for part in parts):
        raise ConfigError(
            f"{key}={brief_url(url)}: the password would be written into the run's folder; leave it out and use "
            f"{remedy}."
        )


@contextmanager
def downloaded(url: str, check_size: Callable[[int], None]) -> Iterator[Path]:
    """A copy of the file that is removed afterwards; `check_size` is called with its bytes so far.

    Raises `DataError` where it cannot be read or fsspec, or what it needs for this URL, is not installed.
    """
    source = brief_url(url)
    require_no_password(url, "data.path", "what the library for it reads, such as its file of credentials")
    try:
        import fsspec
    except ImportError:
        raise DataError(
            f"{source}: files in other places are read by fsspec, which is not installed; pip install "
            "'nettrain[remote]' installs it."
        ) from None
    name = Path(url.partition("::")[0].partition("?")[0].rpartition("/")[2]).name or "table"
    with tempfile.TemporaryDirectory(prefix="nettrain-") as folder:
        path = Path(folder) / name
        try:
            with fsspec.open(url, "rb") as remote, path.open("wb") as local:
                while chunk := remote.read(_CHUNK):
                    local.write(chunk)
                    check_size(local.tell())
        except (DataError, MemoryError):
            raise
        except ImportError as error:
            raise DataError(f"{source}: a library for such URLs is missing: {_line(error)}.") from None
        except FileNotFoundError:
            raise DataError(f"{source}: there is no such file; correct the URL.") from None
        except Exception as error:  # each file system has errors of its own
            if "Protocol not known" in str(error):
                raise DataError(
                    f"{source}: fsspec knows no URLs of this kind; it reads https://, s3://, gs://, az:// and others."
                ) from None
            raise DataError(f"{source}: the file cannot be read ({_line(error)}).") from None
        yield path


def _line(error: Exception) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    return words[:200] or type(error).__name__
