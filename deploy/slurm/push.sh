#!/bin/bash
# One SLURM job for each scene that has no outcome yet, for sites that forbid jobs that wait for work.
#
#     deploy/slurm/push.sh ARCHIVE OUT [--settings FILE] [--set KEY=VALUE] [-- SBATCH OPTION ...]
#
# Run it again at any time, also from cron: jobs of one scene wait for each other, and the later one finds the product.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export THERMAL_SR_HOME=${THERMAL_SR_HOME:-$(dirname "$(dirname "$here")")}
# shellcheck source=deploy/slurm/environment.sh
. "$here/environment.sh"
[ $# -ge 2 ] || complain "usage: push.sh ARCHIVE OUT [--settings FILE] [--set KEY=VALUE] [-- SBATCH OPTION ...]"

archive=$1 out=$(realpath -m -- "$2")
shift 2
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
done
[ $# -eq 0 ] || shift

# Kept before it is read: a plan that fails has to end the script, and inside <(...) nobody would notice.
plan=$(thermal-sr plan "$archive" "$out" ${options[@]+"${options[@]}"} --json)
submitted=0
while IFS= read -r -d '' scene_id && IFS= read -r -d '' file; do
    sbatch --parsable --job-name="thermal-sr-$scene_id" --dependency=singleton "$@" \
        "$here/run.sbatch" "$file" "$out" ${options[@]+"${options[@]}"} >/dev/null
    submitted=$((submitted + 1))
done < <(python -c '
import json, sys
for row in json.load(sys.stdin)["files"]:
    if row["action"] == "process":
        print(row["scene_id"], row["path"], sep="\0", end="\0")
' <<<"$plan")
echo "$submitted jobs submitted"
