"""A systemd unit that keeps the nightly service up, over crashes and restarts of the machine."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from pathlib import Path

UNIT = """\
# thermal-sr serve {archive}
#   thermal-sr serve ... --systemd | sudo tee /etc/systemd/system/{name}.service
#   sudo systemctl daemon-reload && sudo systemctl enable --now {name}
[Unit]
Description=thermal-sr: nights over {archive}
After=network-online.target remote-fs.target
Wants=network-online.target
RequiresMountsFor={folders}

[Service]
User={user}
WorkingDirectory={home}
{environment}ExecStart={command}
Restart=always
RestartSec=30
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=90
UMask=0027
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""
KEPT = ("PREFECT_API_URL", "XDG_CACHE_HOME", "TMPDIR")


def unit(name: str, command: Sequence[str], archive: Path, folders: Sequence[Path]) -> str:
    """The unit's text.

    Args:
        name: How the unit is called.
        command: Every word of the command line, the program with its whole path.
        archive: What is served, for people.
        folders: What has to be mounted before.
    """
    kept = [f"Environment={_word(f'{key}={os.environ[key]}')}\n" for key in KEPT if os.environ.get(key)]
    program, *words = command
    return UNIT.format(
        name=name,
        archive=_specifiers(str(archive)),
        folders=" ".join(_word(str(folder)) for folder in folders),
        user=getpass.getuser(),
        home=Path("/"),
        environment="".join(kept),
        command=" ".join([_specifiers(program), *(_word(word).replace("$", "$$") for word in words)]),
    )


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """A word in systemd's quotes."""
    escaped = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
