# shellcheck shell=bash
# What every job needs: the project, its virtual environment, the site's own variables. Sourced, not run.
#
# The site's file is read here, on the node, because whatever sbatch exports can be read by others with scontrol.

complain() {
    echo "thermal-sr: $*" >&2
    exit 2
}

site=${THERMAL_SR_ENV:-$THERMAL_SR_HOME/deploy/slurm/site.env}
if [ -r "$site" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$site"
    set +a
elif [ -n "${THERMAL_SR_ENV:-}" ]; then
    complain "cannot read $site, named by THERMAL_SR_ENV"
fi

venv=${THERMAL_SR_VENV:-$THERMAL_SR_HOME/.venv}
[ -x "$venv/bin/prefect" ] || complain "no Prefect in $venv on $(hostname); run make install, or set THERMAL_SR_VENV in $site"
PATH=$venv/bin:$PATH
export PATH
export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 PYTHONUNBUFFERED=1

# Without a shared server Prefect keeps a database of its own; a home on NFS is no place for SQLite.
if [ -z "${PREFECT_API_URL:-}" ]; then
    PREFECT_HOME=$(mktemp -d "${TMPDIR:-/tmp}/thermal-sr.XXXXXX")
    export PREFECT_HOME
    trap 'rm -rf "$PREFECT_HOME"' EXIT
fi

# A node whose GPU is gone would take scene after scene and end each in no time.
make_sure_of_gpu() {
    [ "${THERMAL_SR_NEEDS_GPU:-yes}" = no ] && return
    python -c 'import torch; torch.ones(8, device="cuda").sum().item()' ||
        complain "torch cannot use a GPU on $(hostname); nothing was taken (scontrol update nodename=$(hostname -s) state=drain)"
}

# A run whose code cannot be loaded dies before it can count its attempts, and comes back for ever.
make_sure_of_software() {
    (cd "$THERMAL_SR_HOME" && python -c 'import flows.scene') ||
        complain "cannot load flows.scene from $THERMAL_SR_HOME on $(hostname); nothing was taken (is make install through?)"
}

# Seconds until SLURM ends this job; a large number where it has no limit.
seconds_left() {
    local end
    end=$(squeue --noheader --jobs "$SLURM_JOB_ID" --format=%e 2>/dev/null) &&
        end=$(date --date "$end" +%s 2>/dev/null) && echo $((end - $(date +%s))) || echo 999999999
}
