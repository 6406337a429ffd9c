#!/usr/bin/env bash
# Trains on all hosts of a Cloud TPU slice.
#
#   launch/pod.sh NAME ZONE FOLDER --config=configs/ccx.py --workdir=/shared/run
#
# NAME and ZONE are those of the slice. FOLDER is the checkout of this code on
# its hosts, where the package must be installed (pip install -e '.[tpu]'). All
# further arguments are passed to launch.train. All hosts must share --workdir
# (a Filestore or NFS mount); --config.data.data_dir may also be an equal copy
# on each host. The command returns when the run ends. Give it again to resume
# from the last checkpoint. It needs gcloud, whose configuration may set the
# project.
set -euo pipefail

if (($# < 4)); then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2 folder=$3
shift 3

# Quotes every word once more for the shell of the hosts.
command=$(printf ' %q' python -m launch.train --distributed "$@")
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd $(printf '%q' "$folder") && exec$command"
