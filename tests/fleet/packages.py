"""Debian packages that tests need and Python's package index does not have; root may install them."""

from __future__ import annotations

import os
import shutil
import subprocess


class NotInstalledError(RuntimeError):
    """Something is not on this machine; the message says why it cannot be had."""


def install(*packages: str) -> None:
    """Install packages with apt-get.

    Raises:
        NotInstalledError: This is not root, there is no apt-get, or it fails.
    """
    named = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalledError(f"{named}: not installed, and only root can install it, with apt-get")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        answer = subprocess.run(
            ["apt-get", *command], env=quiet, capture_output=True, text=True, timeout=300, check=False
        )
        if answer.returncode:
            last = (answer.stderr.strip() or "no message").splitlines()[-1]
            raise NotInstalledError(f"{named}: apt-get {command[0]} ended with {answer.returncode}: {last}")
