"""Two ways to have systemd hold the nights: a service that stays, or a timer that begins each night."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEAD = """\
# Two ways to have systemd hold the nights over {archive}; take one of them.
#
# 1. A service that stays: a page for every run, messages, and the next night where one was missed.
#   thermal-sr serve ... --systemd | sudo tee /etc/systemd/system/{name}.service
#   sudo systemctl daemon-reload && sudo systemctl enable --now {name}
#
# 2. A timer that begins every night: nothing stays in memory between them; no pages and no messages.
#    After a night with failures its unit is "failed": systemctl --failed, journalctl -u {name}-night
{timer_words}"""
TIMER_WORDS = """\
#   thermal-sr serve ... --systemd > units
#   sed -n 's/^#night //p' units | sudo tee /etc/systemd/system/{name}-night.service
#   sed -n 's/^#timer //p' units | sudo tee /etc/systemd/system/{name}-night.timer
#   sudo systemctl daemon-reload && sudo systemctl enable --now {name}-night.timer
"""
UNIT = """\
[Unit]
Description=thermal-sr: {what} over {archive}
After=network-online.target remote-fs.target
Wants=network-online.target
RequiresMountsFor={folders}

[Service]
User={user}
WorkingDirectory=/
{environment}ExecStart={command}
{lasts}KillMode=mixed
TimeoutStopSec=90
UMask=0027
NoNewPrivileges=yes
"""
STAYS = "Restart=always\nRestartSec=30\nRestartPreventExitStatus=2\n"
ENDS = "Type=oneshot\nTimeoutStartSec=infinity\n"
INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"
TIMER = """\
[Unit]
Description=thermal-sr: when nights over {archive} begin

[Timer]
OnCalendar={calendar}
Persistent={persistent}

[Install]
WantedBy=timers.target
"""
KEPT = ("PREFECT_API_URL", "XDG_CACHE_HOME", "TMPDIR")
_FIELD = re.compile(r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?(?:,\d+(?:-\d+)?)*")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Served:
    """What systemd is to hold nights over.

    Attributes:
        name: How the units are called.
        archive: The archive, for people.
        folders: What has to be mounted before.
        serve: Every word of the command that stays, the program with its whole path.
        run: The same of the command that holds one night.
        cron: When nights begin, in UTC.
        late: Whether a missed night is held later.
    """

    name: str
    archive: Path
    folders: Sequence[Path]
    serve: Sequence[str]
    run: Sequence[str]
    cron: str
    late: bool


def units(served: Served) -> str:
    """The service's text; the night's service and timer stand in it as comments, after #night and #timer."""
    archive, calendar = _specifiers(str(served.archive)), calendar_of(served.cron)
    stays = _service(served, "nights", served.serve, STAYS) + INSTALL
    if calendar is None:
        words = f"#   No timer can say the schedule {_specifiers(served.cron)!r}; take the service.\n"
        return HEAD.format(archive=archive, name=served.name, timer_words=words) + stays
    timer = TIMER.format(archive=archive, calendar=calendar, persistent=str(served.late).lower())
    night = _service(served, "a night", served.run, ENDS)
    words = TIMER_WORDS.format(name=served.name)
    head = HEAD.format(archive=archive, name=served.name, timer_words=words)
    return f"{head}{stays}\n{_commented('night', night)}{_commented('timer', timer)}"


def calendar_of(cron: str) -> str | None:
    """A schedule of five fields in systemd's words; None where it has none for it.

    A day of the month and a day of the week together mean either of them to cron, and both to systemd.
    """
    fields = cron.split()
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        return None
    minute, hour, day, month, weekday = fields
    if weekday != "*" and (day != "*" or "/" in weekday):
        return None
    days = "" if weekday == "*" else re.sub(r"\d", lambda found: _DAYS[int(found[0]) % 8], weekday) + " "
    minute, hour, day, month = (field.replace("-", "..") for field in (minute, hour, day, month))
    minute, hour = (re.sub(r"^\*/", "0/", field) for field in (minute, hour))
    day, month = (re.sub(r"^\*/", "1/", field) for field in (day, month))
    return f"{days.replace('-', '..')}*-{month}-{day} {hour}:{minute}:00 UTC"


def _service(served: Served, what: str, command: Sequence[str], lasts: str) -> str:
    kept = [f"Environment={_word(f'{key}={os.environ[key]}')}\n" for key in KEPT if os.environ.get(key)]
    program, *words = command
    return UNIT.format(
        what=what,
        archive=_specifiers(str(served.archive)),
        folders=" ".join(_word(str(folder)) for folder in served.folders),
        user=getpass.getuser(),
        environment="".join(kept),
        command=" ".join([_specifiers(program), *(_word(word).replace("$", "$$") for word in words)]),
        lasts=lasts,
    )


def _commented(kind: str, text: str) -> str:
    return "".join(f"#{kind} {line}\n" for line in text.splitlines())


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """A word in systemd's quotes."""
    escaped = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
