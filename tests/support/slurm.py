"""Stand-ins for the commands of Slurm, in one program that is called by their names.

``sbatch`` writes its arguments to ``submitted.jsonl`` beside this file, and runs what it is given
at once if the job is a training; it refuses all others. ``srun`` runs its command.
"""

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
STATES = FOLDER / "states"


def sbatch(arguments: list[str]) -> int:
    with open(FOLDER / "submitted.jsonl", "a") as file:
        print(json.dumps(arguments), file=file)
    if not arguments[arguments.index("--comment") + 1].startswith("rule_train"):
        print("sbatch: error: no such partition", file=sys.stderr)
        return 1
    log = arguments[arguments.index("--output") + 1].replace("%j", "7")
    with open(log, "w") as output:
        done = subprocess.run(["sh"], stdin=sys.stdin, stdout=output, stderr=output)
    STATES.write_text(f"7|{'FAILED' if done.returncode else 'COMPLETED'}\n")
    print("7")
    return 0


def srun(arguments: list[str]) -> int:
    return subprocess.run(arguments[arguments.index("sh") :]).returncode


def sacct(arguments: list[str]) -> int:
    print("lab" if "-nu" in arguments else STATES.read_text(), end="")  # accounts, or states
    return 0


def sacctmgr(arguments: list[str]) -> int:
    print("lab")
    return 0


def sinfo(arguments: list[str]) -> int:
    print("PARTITION\nshort\nlong*")
    return 0


def scontrol(arguments: list[str]) -> int:
    return 0


if __name__ == "__main__":
    sys.exit(globals()[Path(sys.argv[0]).name](sys.argv[1:]))
