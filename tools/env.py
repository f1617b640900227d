"""Make the environment `.venv` from `requirements.lock`, or mend it. Standard library only; for Python 3.11 or newer.

A half-made or outdated environment is brought to what the lock says; one whose Python is gone or too old is made anew.
`UNLOCKED=1` installs the newest releases that settings.ini allows, instead of the lock (the weekly check).
"""
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def oldest():
    "The oldest Python that settings.ini allows, as a tuple."
    text = (ROOT / "settings.ini").read_text(encoding="utf-8")
    return tuple(map(int, re.search(r"(?m)^min_python\s*=\s*([\d.]+)", text)[1].split(".")))


def works(python):
    "Whether `python` starts and is new enough."
    asked = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    try: out = subprocess.run(asked, capture_output=True, text=True)
    except OSError: return False
    return out.returncode == 0 and tuple(map(int, out.stdout.split())) >= oldest()


def run(*words):
    subprocess.run([str(o) for o in words], check=True, cwd=ROOT)


def main():
    if sys.version_info[:2] < oldest():
        needed = ".".join(map(str, oldest()))
        return f"this is Python {sys.version.split()[0]}; needed is {needed} or newer: install it, then name it, " \
               f"as in `make PYTHON=python{needed} run`"
    if shutil.disk_usage(ROOT).free < 8e9 and not PYTHON.exists():
        return "less than 8 GB are free on this disk; torch and its libraries need about 6 GB"
    if HOME.exists() and not works(PYTHON):
        print("the environment .venv does not work; it is made anew")
        shutil.rmtree(HOME)
    if not PYTHON.exists():
        print("making the environment .venv (about 6 GB; minutes the first time) ...", flush=True)
        venv.create(HOME, with_pip=True)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    uv = re.search(r"(?m)^uv==\S+", lock)[0]
    try:
        run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", uv)
        uv_pip = (PYTHON, "-m", "uv", "pip")
        if os.environ.get("UNLOCKED"): run(*uv_pip, "install", "-q", "--upgrade", "--python", PYTHON, "-e", ".[dev]")
        else:
            run(*uv_pip, "install", "-q", "--python", PYTHON, "-r", "requirements.lock")
            run(*uv_pip, "install", "-q", "--python", PYTHON, "--no-deps", "-e", ".")
        run(*uv_pip, "check", "-q", "--python", PYTHON)
    except subprocess.CalledProcessError as e:
        return f"the environment could not be completed (`{' '.join(e.cmd[1:5])} ...` failed, see above); " \
               "check the network and the disk, then say the same command again: it goes on where it stopped"
    (HOME / "ready").write_text("made from requirements.lock\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
