"""`ReadOptions`: how tables are read, as far as a file does not show it itself."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nettrain.errors import ConfigError
from nettrain.registry import check, option
from nettrain.wording import joined

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
DECIMALS = {"point": ".", "comma": ","}


@dataclass
class ReadOptions:
    """How a table is read. A run remembers it, and reads new tables in the same way."""

    header: bool = option(True, "whether the first row holds column names; without them columns are called 1, 2, ...")
    separator: str = option(
        "auto", "sign between cells: comma, semicolon, tab, bar, space or another one; auto: what the file shows"
    )
    decimal: str = option("point", "decimal mark of numbers", choices=(*DECIMALS, *DECIMALS.values()))
    encoding: str = option("auto", "encoding of a text file, such as latin-1; auto: UTF-8, or UTF-16 with its mark")
    dates: str = option(
        "auto",
        "what comes first in dates such as 3/4/2024: day_first, month_first; auto: what the column shows",
        choices=("auto", "day_first", "month_first"),
    )
    missing: Optional[list[str]] = option(  # noqa: UP045
        None, "words that count as missing, beside empty cells; null: the usual ones, such as NA"
    )
    drop_missing_target: bool = option(False, "leave out rows without a target")
    ignore_case: bool = option(False, "take texts that differ in the case of letters alone for the same")

    @classmethod
    def of(cls, values: Mapping[str, Any], otherwise: "ReadOptions | None" = None) -> "ReadOptions":
        """The options with these values, the others as in `otherwise`; `ConfigError` for one that is not allowed."""
        known = OmegaConf.structured(otherwise or cls())
        for name in values:
            if name not in known:
                raise ConfigError(f"{name}: there is no such option; tables are read with {joined(list(known))}.")
        try:
            options: ReadOptions = OmegaConf.to_object(OmegaConf.merge(known, dict(values)))  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            raise ConfigError(f"data.{error.full_key}: {str(error).splitlines()[0].rstrip('.')}.") from error
        check(options, "data.")
        return options

    @property
    def decimal_mark(self) -> str:
        """The sign itself."""
        return DECIMALS.get(self.decimal, self.decimal)

    @property
    def separator_mark(self) -> str | None:
        """The sign itself; None where the file shows it. Raises `ConfigError` for more than one sign."""
        if self.separator == "auto":
            return None
        mark = SEPARATORS.get(self.separator, self.separator)
        if len(mark) != 1 or mark in '"\r\n':
            names = ", ".join(SEPARATORS)
            raise ConfigError(f"data.separator={self.separator}: it must be one sign, auto, or one of {names}.")
        return mark

    @property
    def codec(self) -> str | None:
        """Python's name of the encoding; None where the file shows it. Raises `ConfigError` for an unknown one."""
        if self.encoding == "auto":
            return None
        try:
            name = codecs.lookup(self.encoding).name
            "".encode(name)  # refused by codecs that are no encodings of text
        except (LookupError, ValueError):
            raise ConfigError(
                f"data.encoding={self.encoding}: there is no such encoding; common ones are utf-8, utf-16, latin-1, "
                "cp1252, cp1250, shift_jis, gbk."
            ) from None
        return name
