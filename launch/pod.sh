#!/usr/bin/env bash
# One training on every host of a Cloud TPU slice.
#
#   launch/pod.sh NAME ZONE FOLDER --config=configs/ccx.py --workdir=/shared/run
#
# NAME and ZONE are the slice's, FOLDER is the checkout of this code on its
# hosts, with the package installed there (pip install -e '.[tpu]'). What
# follows goes to launch.train as it is. --workdir must be seen by every host (a
# Filestore or NFS mount); --config.data.data_dir too, or be an equal copy on
# each. The command returns
# when the run ends; given again, it goes on from the last checkpoint. Needs
# gcloud; PROJECT may be set in its configuration.
set -euo pipefail

if (($# < 4)); then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2 folder=$3
shift 3

# Each word quoted once more for the shell on the hosts.
command=$(printf ' %q' python -m launch.train --distributed "$@")
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd $(printf '%q' "$folder") && exec$command"
