#!/usr/bin/env bash
# Trains on the GPUs of several nodes, with one process per GPU.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh \
#     --config=configs/ccx.py --workdir=/shared/run
#
# Arguments behind the script are passed to launch.train; options of sbatch are
# passed to Slurm (--partition, --account). Start it in the checkout with the
# environment active (pip install -e '.[cuda]'). All nodes must share --workdir;
# --config.data.data_dir may also be an equal copy on each node.
#
# Before the time limit every process receives SIGTERM and saves. The job then
# queues itself again and resumes the run.
#SBATCH --job-name=apppau_jax
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# 120 s before the end, to the processes of the job step, not to this script.
#SBATCH --signal=TERM@120
set -euo pipefail

if (($# < 2)); then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

status=0
# If one process fails, Slurm ends the others at once.
srun --kill-on-bad-exit=1 --label \
  python -m launch.train --distributed "$@" || status=$?

# 143: stopped by SIGTERM and saved; srun returns the highest status.
if ((status == 143)) && [[ -n ${SLURM_JOB_ID:-} ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
