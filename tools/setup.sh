# shellcheck shell=bash
# Sourced by tools/test, tools/quickstart and .ci/run: installing what is missing, and honest progress.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
started=$SECONDS

# say TEXT: one line of progress with the seconds since the start.
say() { printf '[%4ds] %s\n' $((SECONDS - started)) "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# missing SET: packages of tools/packages.txt in this set that are not installed.
missing() {
    local package sets why
    while read -r package sets why; do
        case "$package" in '' | '#'*) continue ;; esac
        case ",$sets," in *",$1,"*) ;; *) continue ;; esac
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done <"$root/tools/packages.txt"
}

# install SET: installs what is missing, as root or through sudo without a password; says what to do otherwise.
install() {
    command -v apt-get >/dev/null || { say "no apt-get here: taking the tools that are installed"; return; }
    local packages as_root=()
    mapfile -t packages < <(missing "$1")
    if [ ${#packages[@]} -eq 0 ]; then
        say "packages: all there"
        return
    fi
    say "packages: installing ${packages[*]}"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "missing packages; run as root: apt-get install ${packages[*]}"
        as_root=(sudo -n)
    fi
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${packages[@]}"; } \
        >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "the packages could not be installed (no network?); install them by hand: ${packages[*]}"
    fi
    rm -f "$log"
    say "packages: installed"
}

# build PRESET [TARGET...]: configures and builds. Shows the compiler's output only when it fails, a line now and
# then otherwise.
build() {
    local preset=$1 log
    shift
    log="$root/build.$preset.log"
    say "$preset: configuring"
    (cd "$root" && cmake --preset "$preset") >"$log" 2>&1 || { cat "$log" >&2; return 1; }
    say "$preset: building with $(jobs_allowed) jobs (log: build.$preset.log)"
    local targets=()
    [ $# -eq 0 ] || targets=(--target "$@")
    (cd "$root" && cmake --build --preset "$preset" -j "$(jobs_allowed)" "${targets[@]}") 2>&1 | tee -a "$log" | milestones "$preset"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        grep -vE '^\[[0-9]+/[0-9]+\]' "$log" | tail -n 60 >&2
        return 1
    fi
    say "$preset: built"
}

# up_to_date PRESET: whether a build of this preset would do nothing.
up_to_date() {
    [ -f "$root/build/build.ninja" ] && (cd "$root" && cmake --build --preset "$1" -- -n 2>/dev/null) | grep -q 'no work to do'
}

# As many compilers as there are cores, but no more than memory allows at 1.5 GiB each.
jobs_allowed() {
    local by_memory
    by_memory=$(awk '/MemAvailable/ { print int($2 / 1572864) }' /proc/meminfo)
    local n
    n=$(nproc)
    [ "$by_memory" -ge "$n" ] || n=$by_memory
    [ "$n" -ge 1 ] || n=1
    echo "$n"
}

# Reads ninja's lines and says each tenth of the way.
milestones() {
    local line done_now total shown=0
    while IFS= read -r line; do
        [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
        done_now=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
        if ((total >= 20 && done_now * 10 / total > shown)); then
            shown=$((done_now * 10 / total))
            say "$1: $done_now of $total steps"
        fi
    done
}

# run_ctest PRESET [ARGUMENT...]: runs tests; adds to passed_count and failed_count.
passed_count=0 failed_count=0
run_ctest() {
    local preset=$1 log status=0
    shift
    log="$root/test.$preset.log"
    say "$preset: testing (log: test.$preset.log)"
    (cd "$root" && ctest --preset "$preset" -j "$(nproc)" "$@") >"$log" 2>&1 || status=1
    if [[ $(grep -E '^[0-9]+% tests passed' "$log" || true) =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
        failed_count=$((failed_count + BASH_REMATCH[1]))
        passed_count=$((passed_count + BASH_REMATCH[2] - BASH_REMATCH[1]))
        say "$preset: $((BASH_REMATCH[2] - BASH_REMATCH[1])) tests passed, ${BASH_REMATCH[1]} failed"
    else
        failed_count=$((failed_count + 1))
        say "$preset: the tests did not run"
    fi
    grep -E 'Skipped|\(Not Run\)|\(Disabled\)' "$log" | sed -nE 's/^.*Test +#[0-9]+: +([^ ]+) .*/skipped: \1/p' | sort -u || true
    [ $status -eq 0 ] || { sed -n '/^The following tests FAILED/,$p' "$log"; grep -B 30 'Failure$' "$log" | tail -n 120; } >&2
    return $status
}
