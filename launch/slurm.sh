#!/usr/bin/env bash
# One training on the GPUs of some nodes, a process a GPU.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh \
#     --config=configs/ccx.py --workdir=/shared/run
#
# What follows the script goes to launch.train as it is; so do sbatch's options
# to Slurm (--partition, --account). Start it in the checkout, with the
# environment active (pip install -e '.[cuda]'). --workdir must
# be seen by every node; --config.data.data_dir too, or be an equal copy on
# each. Before the time is up
# every process gets SIGTERM, all save, and the job queues itself again; the
# same run goes on from there.
#SBATCH --job-name=apppau_jax
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# 120 s before the end, to the processes of the step rather than this script.
#SBATCH --signal=TERM@120
set -euo pipefail

if (($# < 2)); then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

status=0
# One process that fails ends the others, instead of waiting for the timeout.
srun --kill-on-bad-exit=1 --label \
  python -m launch.train --distributed "$@" || status=$?

# 143: stopped by SIGTERM, saved; srun tells the highest status of all.
if ((status == 143)) && [[ -n ${SLURM_JOB_ID:-} ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
