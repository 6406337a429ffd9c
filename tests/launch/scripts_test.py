"""The shell scripts, with stand-ins for the clusters' own commands."""

import os
import pathlib
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"


@pytest.fixture
def run(tmp_path):
  """Runs a script that finds these commands before any other."""

  def call(script, *words, **commands):
    for name, body in commands.items():
      path = tmp_path / name
      path.write_text(f"#!/bin/sh\n{body}\n")
      path.chmod(0o755)
    return subprocess.run(
      ["bash", str(LAUNCH / script), *words],
      env={
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
      },
      capture_output=True,
      text=True,
      check=False,
    )

  return call


def test_the_pod_gets_one_command_with_its_words_whole(run, tmp_path):
  """What the hosts' shell makes of it is what the user wrote."""
  (tmp_path / "a b").mkdir()
  done = run(
    "pod.sh",
    "slice",
    "zone",
    str(tmp_path / "a b"),
    "--config=c.py:quick",
    "--workdir=/w x/$HOME",
    gcloud='for w; do case $w in --command=*) sh -c "${w#--command=}";; esac; '
    "done",
    python='pwd; printf "<%s>" "$@"',
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == (
    f"{tmp_path / 'a b'}\n<-m><launch.train><--distributed>"
    "<--config=c.py:quick><--workdir=/w x/$HOME>"
  )


@pytest.mark.parametrize(("status", "again"), [(143, True), (6, False)])
def test_a_stopped_slurm_job_queues_itself_again(run, status, again):
  done = run(
    "slurm.sh",
    "--config=c.py",
    "--workdir=w",
    srun=f"exit {status}",
    scontrol='echo "$@"',
  )
  assert done.returncode == status
  assert done.stdout == ("requeue 7\n" if again else "")


@pytest.mark.parametrize("script", ["pod.sh", "slurm.sh"])
def test_without_arguments_a_script_says_how(run, script):
  done = run(script)
  assert done.returncode == 2
  assert f"launch/{script}" in done.stderr
