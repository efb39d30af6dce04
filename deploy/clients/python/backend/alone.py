"""Builds this package with what Python brings: a box that nothing reaches has no setuptools to fetch.

The hooks of PEP 517; the name and the version are read in `pyproject.toml`, their only place.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
# The same sources give the same bytes: the earliest moment a zip can hold.
MOMENT = (1980, 1, 1, 0, 0, 0)
# What of the sources is part of the package.
ENDINGS = (".py", ".typed")


def _project() -> Dict[str, str]:
    """The lines of `[project]` that are plain texts; `tomllib` came with Python 3.11 only."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.split("[project]", 1)[1].split("\n[", 1)[0]
    return dict(re.findall(r'^([a-z-]+) = "([^"]*)"$', table, re.MULTILINE))


def _stem() -> str:
    project = _project()
    return "{}-{}".format(re.sub(r"[-_.]+", "_", project["name"]), project["version"])


def _metadata() -> str:
    project = _project()
    head = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        "Classifier: Typing :: Typed",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(head) + "\n\n" + (ROOT / project["readme"]).read_text(encoding="utf-8")


def _of_the_wheel() -> List[Tuple[str, bytes]]:
    """The files below `.dist-info` but for RECORD."""
    wheel = "Wheel-Version: 1.0\nGenerator: alone\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return [("METADATA", _metadata().encode()), ("WHEEL", wheel.encode())]


def _sources() -> List[Path]:
    return sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in ENDINGS or path.name in ENDINGS)


def get_requires_for_build_wheel(config_settings: Optional[Dict[str, Any]] = None) -> List[str]:
    """Nothing."""
    return []


def get_requires_for_build_sdist(config_settings: Optional[Dict[str, Any]] = None) -> List[str]:
    """Nothing."""
    return []


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Optional[Dict[str, Any]] = None) -> str:
    """Writes the `.dist-info` folder and answers its name."""
    name = f"{_stem()}.dist-info"
    folder = Path(metadata_directory) / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in _of_the_wheel():
        (folder / file).write_bytes(content)
    return name


def build_wheel(
    wheel_directory: str,
    config_settings: Optional[Dict[str, Any]] = None,
    metadata_directory: Optional[str] = None,
) -> str:
    """Writes the wheel and answers its name."""
    info = f"{_stem()}.dist-info"
    files = [(path.relative_to(ROOT / "src").as_posix(), path.read_bytes()) for path in _sources()]
    files += [(f"{info}/{name}", content) for name, content in _of_the_wheel()]
    record = []
    for name, content in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(content)}\n")
    record.append(f"{info}/RECORD,,\n")
    files.append((f"{info}/RECORD", "".join(record).encode()))
    wheel = f"{_stem()}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return wheel


def build_sdist(sdist_directory: str, config_settings: Optional[Dict[str, Any]] = None) -> str:
    """Writes the archive of the sources and answers its name."""
    name = f"{_stem()}.tar.gz"
    own = [ROOT / "pyproject.toml", ROOT / "README.md", Path(__file__).resolve()]
    with tarfile.open(Path(sdist_directory) / name, "w:gz") as archive:
        files = [(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in own + _sources()]
        for place, content in [("PKG-INFO", _metadata().encode()), *files]:
            entry = tarfile.TarInfo(f"{_stem()}/{place}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return name
