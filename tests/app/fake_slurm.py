"""SLURM's commands as far as submitit calls them, for tests: jobs are real processes of this machine.

`install(folder)` puts them into `folder`; jobs and their states are files in `folder/jobs`.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scancel")


def install(folder):
    """The environment in which the commands are found."""
    (folder / "jobs").mkdir(parents=True)
    for name in COMMANDS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {__file__} {folder} {name} "$@"\n')
        script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def state(job):
    """SLURM's word for the state of a job, whose folder this is."""
    for name in ("PREEMPTED", "CANCELLED", "NODE_FAIL"):
        if (job / name).exists() and (job / "code").exists():
            return name
    if not (job / "code").exists():
        return "RUNNING"
    return "COMPLETED" if (job / "code").read_text() == "0" else "FAILED"


def end(job, why, number=signal.SIGTERM):
    """Send a job's processes a signal, and remember why."""
    (job / why).touch()
    try:
        os.killpg(int((job / "pid").read_text()), number)
    except (ProcessLookupError, FileNotFoundError):
        return


def sbatch(jobs, script):
    text = Path(script).read_text()
    asked = dict(re.findall(r"#SBATCH --([\w-]+)=(\S+)", text))
    if float(re.sub(r"\D", "", asked.get("mem", "0"))) > 2**20:  # MB
        sys.exit("sbatch: error: Memory specification can not be satisfied")
    number = 1000 + len(list(jobs.iterdir()))
    job = jobs / str(number)
    job.mkdir()
    (job / "script").write_text(text)
    command = [sys.executable, "-S", "-E", __file__, str(jobs.parent), "run", str(number)]
    subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    print(f"Submitted batch job {number}")


def run(jobs, number):
    """What SLURM's daemon does."""
    job = jobs / number
    environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    process = subprocess.Popen(["bash", str(job / "script")], env=environment, start_new_session=True)
    (job / "new").write_text(str(process.pid))
    (job / "new").rename(job / "pid")
    code = process.wait()
    (job / "new").write_text(str(code))
    (job / "new").rename(job / "code")


def srun(jobs, *arguments):
    place = {}
    words = list(arguments)
    while words[0].startswith("--"):
        name = words.pop(0)
        if name in ("--output", "--error"):
            place[name] = words.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
    for number, name in ((1, "--output"), (2, "--error")):
        descriptor = os.open(place[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
    os.execvp(words[0], words)


def sacct(jobs, *arguments):
    print("JobID|State|NodeList")
    for number in [arguments[i + 1] for i, word in enumerate(arguments) if word == "-j"]:
        if (jobs / number).is_dir():
            print(f"{number}|{state(jobs / number)}|node1")


def squeue(jobs, *arguments):
    number = arguments[arguments.index("-j") + 1]
    if (jobs / number).is_dir() and state(jobs / number) == "RUNNING":
        print("RUNNING")


def scancel(jobs, number):
    end(jobs / number, "CANCELLED")


if __name__ == "__main__":
    place, name, *rest = sys.argv[1:]
    globals()[name](Path(place) / "jobs", *rest)
