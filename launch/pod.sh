#!/usr/bin/env bash
# One training on every host of a Cloud TPU slice.
#
#   launch/pod.sh NAME ZONE FOLDER --config=configs/ccx.py --workdir=/shared/run
#
# NAME and ZONE are those of the slice. FOLDER is the checkout of this code on
# its hosts, where the package is installed (pip install -e '.[tpu]'). All other
# arguments are passed to launch.train. Every host must see --workdir (a
# Filestore or NFS mount), and --config.data.data_dir too unless each host has an
# equal copy. The command returns when the run ends. The same command continues
# the run from its last checkpoint. It needs gcloud, configured for the project.
set -euo pipefail

if (($# < 4)); then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2 folder=$3
shift 3

# Quote each word again, for the shell of the hosts.
command=$(printf ' %q' python -m launch.train --distributed "$@")
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd $(printf '%q' "$folder") && exec$command"
