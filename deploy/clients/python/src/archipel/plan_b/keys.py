"""Where a client's key comes from: what it is given, the environment, the key file, in that order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Union

from .faults import KeyMissingError

# The name of the environment's variable.
VARIABLE = "ARCHIPEL_PLANB_KEY"
# The key file below a base directory: of the original's layout, then of a data folder of the box.
FILES = (Path(".runtime") / "api_key.txt", Path("planb") / "api_key.txt")


class Key:
    """A client's key, found when it is first needed.

    One that came from the key file is read again when it is refused: another program may have
    rotated it. One that was given never gives way to the file's, which may be allowed more.
    """

    def __init__(self, given: Optional[str], base_dir: Union[str, "os.PathLike[str]"]) -> None:
        self._base_dir = Path(base_dir)
        self._value = given.strip() if given else None
        self._from_file = False

    def value(self) -> str:
        """The key; raises KeyMissingError where there is none."""
        if self._value is None:
            self._value = os.environ.get(VARIABLE, "").strip() or None
        if self._value is None:
            self._value = self._read()
            self._from_file = True
        return self._value

    def read_again(self) -> bool:
        """Whether the key file now holds another key than the one in use; if so it is the one in use."""
        if not self._from_file:
            return False
        try:
            now = self._read()
        except KeyMissingError:
            return False
        changed, self._value = now != self._value, now
        return changed

    def adopt(self, key: str) -> None:
        """Uses a key that the server has just given."""
        self._value = key

    def _read(self) -> str:
        for file in FILES:
            try:
                key = (self._base_dir / file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if key:
                return key
        named = " or ".join(str(self._base_dir / file) for file in FILES)
        raise KeyMissingError("key_missing", f"give api_key, set {VARIABLE}, or let {named} be readable")
