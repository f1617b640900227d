"Make the environment `.venv` from `requirements.lock` (`UNLOCKED=1`: from the newest releases), or mend it."
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
OLDEST = re.search(r"(?m)^min_python\s*=\s*([\d.]+)", (ROOT / "settings.ini").read_text(encoding="utf-8"))[1]


def works(python):
    "Whether `python` starts and is new enough."
    ask = f"import sys; sys.exit(sys.version_info[:3] < tuple(map(int, '{OLDEST}'.split('.'))))"
    try: return subprocess.run([python, "-c", ask], capture_output=True).returncode == 0
    except OSError: return False


def run(*words): subprocess.run([str(o) for o in words], check=True, cwd=ROOT)


def main():
    if not works(sys.executable):
        return f"this is Python {sys.version.split()[0]}; needed is {OLDEST} or newer, as in `make PYTHON=python{OLDEST.rpartition('.')[0]} run`"
    if not PYTHON.exists() and shutil.disk_usage(ROOT).free < 8e9: return "less than 8 GB are free here; torch takes 6"
    if HOME.exists() and not works(PYTHON):
        print("the environment .venv does not work; it is made anew")
        shutil.rmtree(HOME)
    if not PYTHON.exists():
        print("making the environment .venv (about 6 GB; minutes the first time) ...", flush=True)
        venv.create(HOME, with_pip=True)
    uv = re.search(r"(?m)^uv==\S+", (ROOT / "requirements.lock").read_text(encoding="utf-8"))[0]
    newest, locked = ("--upgrade -e .[dev]",), ("-r requirements.lock", "--no-deps -e .")
    try:
        run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", uv)
        for what in newest if os.environ.get("UNLOCKED") else locked:
            run(PYTHON, "-m", "uv", "pip", "install", "-q", "--python", PYTHON, *what.split())
        run(PYTHON, "-m", "uv", "pip", "check", "-q", "--python", PYTHON)
    except subprocess.CalledProcessError as e:
        return f"the environment could not be completed (`{' '.join(e.cmd[1:5])} ...` failed, see above); check network " \
               "and disk, then say the same command again"
    (HOME / "ready").write_text("made from requirements.lock\n")

if __name__ == "__main__": sys.exit(main())
