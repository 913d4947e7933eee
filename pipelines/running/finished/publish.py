"""Publish a run's bundle: a verified copy, and a link to it that is switched last."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towermill.errors import BundleError, DataError
from towermill.files import replacing, take_place
from towermill.pipelines.bundle.manifest import (
    MANIFEST,
    bundle_folder,
    check_digests,
    load_manifest,
)
from towermill.pipelines.running.finished.run_files import RunFiles

#: The link to the bundle that was published last.
LATEST: Final = "latest"


@dataclass(frozen=True)
class Published:
    """Where a bundle was published.

    Attributes
    ----------
    path
        The copy, named by the bundle's id.
    latest
        The link that points at it.
    copied
        Whether it was copied; not if a verified copy was there already.
    """

    path: Path
    latest: Path
    copied: bool


def publish(source: Path, to: Path) -> Published:
    """Copy a bundle into a folder, verify the copy, and point the folder's ``latest`` at it.

    The copy holds files, not links. It appears by one rename, and the link is switched by another
    when the copy is verified: a server that watches ``latest`` sees whole bundles only. Bundles
    published before stay.

    Parameters
    ----------
    source
        ``runs/<recipe>/latest``, another finished run, or the folder of a bundle.
    to
        The folder to publish into, such as one on shared storage; it is made if it is missing.

    Raises
    ------
    BundleError
        The bundle or its copy is damaged.
    DataError
        There is no finished run; or something in `to` is in the way.
    """
    bundle = bundle_folder(source)
    if not (bundle / MANIFEST).is_file():
        bundle = RunFiles.of(source).bundle.resolve()
    manifest = load_manifest(bundle)
    target, latest = to / manifest.id, to / LATEST
    if latest.exists() and not latest.is_symlink():
        raise DataError(
            f"Expected {latest} to be a link, or not there yet. It is a file or folder: move it "
            "away, or publish to another folder."
        )
    to.mkdir(parents=True, exist_ok=True)
    copied = not _whole(target)
    if copied:
        partial = to / f".{manifest.id}.{uuid.uuid4().hex}.partial"
        try:
            shutil.copytree(bundle, partial)
            check_digests(partial, load_manifest(partial))
            take_place(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    with replacing(latest, shared=True) as link:
        link.symlink_to(target.name)
    return Published(target, latest, copied)


def _whole(bundle: Path) -> bool:
    """Return whether a verified bundle is there."""
    try:
        check_digests(bundle, load_manifest(bundle))
    except BundleError:
        return False
    return True
