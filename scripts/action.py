"""What the GitHub action runs: `cnnstat check -f github`, with arguments that no shell has read.

CNNSTAT_ARGS     arguments, quoted as for a shell
CNNSTAT_FOLDER   where to run; by default here
CNNSTAT_SUMMARY  "false": leave the job's summary alone

The exit code is that of the command, and 2 where it could not run; GITHUB_OUTPUT is told too.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

UNKNOWN = 2
"""Exit code of `cnnstat check` where nobody can tell."""


class UsageError(Exception):
    """What is wrong with how the action is used."""


def arguments(text: str) -> list[str]:
    """The words of CNNSTAT_ARGS, which may stand on several lines. Raises `UsageError`."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"args: {str(error).lower()}") from None


def check(env: Mapping[str, str]) -> int:
    """The exit code of the command. Raises `UsageError`."""
    folder = Path(env.get("CNNSTAT_FOLDER") or ".")
    if not folder.is_dir():
        raise UsageError("working-directory: there is no such folder")
    summary = env.get("CNNSTAT_SUMMARY") or "true"
    if summary not in ("true", "false"):
        raise UsageError('summary: expected "true" or "false"')
    # Without it Python itself would leave with 1, which means that a budget is exceeded.
    if importlib.util.find_spec("cnnstat") is None:
        raise UsageError("cnnstat is not installed for the python of this job")
    # Safe path: a file of the checked repository is never taken for a module of ours.
    command = [sys.executable, "-P", "-m", "cnnstat", "check", "-f", "github"]
    command += arguments(env.get("CNNSTAT_ARGS", ""))
    inner = {k: v for k, v in env.items() if summary == "true" or k != "GITHUB_STEP_SUMMARY"}
    try:
        done = subprocess.run(command, cwd=folder, env=inner, check=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"cnnstat could not be started: {type(error).__name__}") from None
    return done.returncode if done.returncode >= 0 else UNKNOWN


def main(env: Mapping[str, str]) -> int:
    """Run the check, and tell GitHub its exit code."""
    try:
        code = check(env)
    except UsageError as error:
        # Nothing that was given is repeated here: a line of it could be a command to GitHub.
        sys.stdout.write(f"::error title=cnnstat::{error}\n")
        code = UNKNOWN
    _tell(env.get("GITHUB_OUTPUT", ""), code)
    return code


def _tell(output: str, code: int) -> None:
    """Add the exit code to the step's outputs; the verdict does not depend on that."""
    if not output:
        return
    try:
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(f"exit-code={code}\n")
    except OSError as error:
        sys.stderr.write(f"GITHUB_OUTPUT cannot be written: {error.strerror}\n")


if __name__ == "__main__":
    sys.exit(main(os.environ))
