# SPDX-License-Identifier: Apache-2.0
"""The wire stories of the Debian package r-cran-tm as telex.record/1 lines. Nothing of them is kept in this tree.

    reuters.py [FOLDER] > records.jsonl"""
import datetime
import glob
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree


def folder(temporary):
    """Where acq/ and crude/ lie: set up already, or fetched now into `temporary`; None where neither is possible."""
    for place in (os.environ.get("TELEX_ARCHIVE"), os.path.expanduser("~/.cache/telex/archive")):
        if place and os.path.isdir(os.path.join(place, "crude")):
            return place
    try:
        subprocess.run(["apt-get", "download", "r-cran-tm"], cwd=temporary, check=True, capture_output=True, timeout=60)
        package = glob.glob(os.path.join(temporary, "r-cran-tm*.deb"))[0]
        subprocess.run(["dpkg-deb", "-x", package, os.path.join(temporary, "tree")], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
    found = glob.glob(os.path.join(temporary, "tree", "**", "texts"), recursive=True)
    return found[0] if found else None


def records(texts):
    """The stories in order of time; the id is "n" and the story's number, NEWID."""
    found = []
    for path in glob.glob(os.path.join(texts, "acq", "*.xml")) + glob.glob(os.path.join(texts, "crude", "*.xml")):
        story = ElementTree.parse(path).getroot()

        def text(tag):
            element = story.find(f".//{tag}")
            return re.sub(r"\s+", " ", element.text or "").strip() if element is not None else ""

        date = datetime.datetime.strptime(story.find("DATE").text.strip().split(".")[0], "%d-%b-%Y %H:%M:%S")
        ms = int(date.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
        found.append({"schema": "telex.record/1", "id": "n" + story.get("NEWID"), "title": text("TITLE"),
                      "text": text("BODY"), "published_ms": ms, "fetched_ms": ms, "lang": "en"})
    return sorted(found, key=lambda r: (r["published_ms"], r["id"]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        place = sys.argv[1] if len(sys.argv) > 1 else folder(temporary)
        if not place or not pathlib.Path(place).is_dir():
            sys.exit("reuters.py: the package r-cran-tm is not to be had")
        for record in records(place):
            print(json.dumps(record))
