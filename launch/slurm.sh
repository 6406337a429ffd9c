#!/usr/bin/env bash
# One training on the GPUs of some nodes, a process a GPU.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh \
#     --config=configs/ccx.py --workdir=/shared/run
#
# All other arguments are passed to launch.train, and options of sbatch
# (--partition, --account) to Slurm. Submit it from the checkout, in the active
# environment (pip install -e '.[cuda]'). Every node must see --workdir, and
# --config.data.data_dir too unless each node has an equal copy. Before the time
# limit every process gets SIGTERM and saves, and the job is queued again; the
# same run continues from there.
#SBATCH --job-name=apppau_jax
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# 120 s before the time limit, to the processes and not to this script.
#SBATCH --signal=TERM@120
set -euo pipefail

if (($# < 2)); then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

status=0
# A process that fails ends the others, which would wait for a timeout.
srun --kill-on-bad-exit=1 --label \
  python -m launch.train --distributed "$@" || status=$?

# 143: stopped by SIGTERM after saving; srun returns the highest status.
if ((status == 143)) && [[ -n ${SLURM_JOB_ID:-} ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
