#!/usr/bin/env bash
# Checks what is installed beside the binary: units, account, directories, example configuration,
# man pages. One line for each; the exit code is the number of those that failed.
# Needs no running systemd. SANDSWEEP_BUILD: where the binary is (default: build).
set -euo pipefail
root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
binary=$(realpath -m -- "${SANDSWEEP_BUILD:-build}/sandsweep")
work=$(mktemp -d)
# shellcheck disable=SC2064  # now, not when the trap runs
trap "rm -rf -- ${work@Q}" EXIT
unset "${!SANDSWEEP_@}" CREDENTIALS_DIRECTORY
export LC_ALL=C.UTF-8
failed=0

# check WHAT COMMAND...: it succeeds and prints nothing on standard error.
check() {
    local what=$1
    shift
    if "$@" >"$work/out" 2>"$work/err" && [[ ! -s $work/err ]]; then
        echo "ok    $what"
    else
        echo "FAIL  $what"
        cat "$work/err" "$work/out" | grep . | tail -n 20 | sed 's/^/      /'
        failed=$((failed + 1))
    fi
}

# A copy of a unit that starts the binary under test.
unit() { # NAME AS
    sed "s|^ExecStart=/usr/local/bin/sandsweep |ExecStart=$binary |" "systemd/$1" >"$work/units/$2"
}

verify() { systemd-analyze verify --man=no "$work/units/$1"; }
exposure() { # what leaves it open, and the sum
    local rc=0
    systemd-analyze security --offline=true --threshold=15 --no-pager "$work/units/$1" >"$work/analysis" || rc=$?
    grep -E '✗|→|Overall' "$work/analysis"
    return "$rc"
}
measured() { sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p' "$work/out"; }

# The value of a key in the [section] of the example, commented out or not.
default_of() { # SECTION KEY
    sed -n "/^\[$1\]/,/^\[/s/^#\?$2 = //p" "$work/example"
}

drain_fits() { # ROLE
    local stop drain
    stop=$(sed -n 's/^TimeoutStopSec=//p' "systemd/sandsweep-$1.service")
    drain=$(default_of "$1" drain_ms)
    ((stop * 1000 >= drain + 5000)) || {
        echo "TimeoutStopSec=$stop is less than $1.drain_ms = $drain and 5 s" >&2
        return 1
    }
}

has_credentials() { # ROLE NAME...: passed on by the unit
    local role=$1 name
    shift
    for name; do
        grep -qxF "LoadCredential=$name:/etc/sandsweep/credentials/$name" "systemd/sandsweep-$role.service" || {
            echo "no LoadCredential=$name" >&2
            return 1
        }
    done
}

timer_is_kind() {
    local key
    for key in RandomizedDelaySec Persistent; do
        grep -qE "^$key=(yes|[1-9][0-9]*)\$" systemd/sandsweep-reconcile.timer || { echo "no $key" >&2; return 1; }
    done
    systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' systemd/sandsweep-reconcile.timer)"
}

# A guard that stopped a run, and an error, must be seen as failures.
exit_codes() {
    diff <(sed -n 's/^SuccessExitStatus=//p' systemd/sandsweep-reconcile.service) <(echo '2 3 4 6 7') >&2
}

# The account and the directories, made in a tree of their own.
sysusers() {
    mkdir -p "$work/tree/etc"
    systemd-sysusers --root="$work/tree" "$root/systemd/sandsweep.sysusers.conf" 2>"$work/said" ||
        { cat "$work/said" >&2; return 1; }
    grep -q '^sandsweep:x:[0-9]*:[0-9]*:Sandsweep:/:/usr/sbin/nologin$' "$work/tree/etc/passwd" ||
        { cat "$work/tree/etc/passwd" >&2; return 1; }
}
tmpfiles() {
    local dir=$work/tree/etc/sandsweep group
    group=$(sed -n 's/^sandsweep:x:\([0-9]*\):.*/\1/p' "$work/tree/etc/group")
    mkdir -p "$dir/credentials"
    touch "$dir/sandsweep.conf" "$dir/credentials/postgres.dsn"
    systemd-tmpfiles --create --root="$work/tree" "$root/systemd/sandsweep.tmpfiles.conf"
    diff - <(cd "$dir/.." && stat -c '%a %u %g %n' sandsweep sandsweep/sandsweep.conf sandsweep/credentials \
        sandsweep/credentials/postgres.dsn) >&2 <<END
750 0 $group sandsweep
640 0 $group sandsweep/sandsweep.conf
700 0 0 sandsweep/credentials
600 0 0 sandsweep/credentials/postgres.dsn
END
}

# The example as it is, then with what is required filled in, then with every default spelt out.
example_as_it_is() { "$binary" -c "$work/example" config show; }
example_filled_in() {
    sed -e 's|^#bootstrap_servers = .*|bootstrap_servers = kafka.example:9092|' \
        -e 's|^#url = .*|url = https://platform.example|' \
        -e 's|^#dsn_file = .*|dsn_file = postgres.dsn|' \
        -e 's|^#token_file = .*|token_file = platform.token|' "$work/example" >"$work/sandsweep.conf"
    "$binary" -c "$work/sandsweep.conf" config show >"$work/shown"
    grep -vxFf "$work/shown" <<'END' | sed 's/^/not in force: /' >&2 || true
kafka.bootstrap_servers=kafka.example:9092
platform.token_file=platform.token
platform.url=https://platform.example
postgres.dsn_file=postgres.dsn
END
}
example_defaults() {
    sed -e '/_file = /d' -e 's/^#\([a-z_]* = .\)/\1/' "$work/example" >"$work/defaults.conf"
    "$binary" -c "$work/defaults.conf" config show
}
example_explains() { # every key has help above it
    awk '/^#?[a-z_]+ = / && !help { print "no help for: " $0; bad = 1 } { help = /^# / } END { exit bad }' \
        "$work/example" >&2
}

man_page() { mandoc -Tlint -W "$1" "$2" >&2; }

mkdir "$work/units"
for role in api worker; do
    unit "sandsweep-$role.service" "sandsweep-$role.service"
    check "sandsweep-$role.service: verify" verify "sandsweep-$role.service"
    check "sandsweep-$role.service: exposure at most 1.5" exposure "sandsweep-$role.service"
    echo "      measured: $(measured)"
    # The way to several copies that docs/operations.md shows.
    unit "sandsweep-$role.service" "sandsweep-$role@.service"
    mkdir "$work/units/sandsweep-$role@.service.d"
    printf '[Service]\nEnvironment=SANDSWEEP_%s_METRICS_LISTEN=127.0.0.1:%%i\n' "${role^^}" \
        >"$work/units/sandsweep-$role@.service.d/copies.conf"
    check "sandsweep-$role@.service: verify" verify "sandsweep-$role@9471.service"
done
unit sandsweep-reconcile.service sandsweep-reconcile.service
cp systemd/sandsweep-reconcile.timer "$work/units/"
check 'sandsweep-reconcile.service: verify' verify sandsweep-reconcile.service
check 'sandsweep-reconcile.service: exposure at most 1.5' exposure sandsweep-reconcile.service
echo "      measured: $(measured)"
check 'sandsweep-reconcile.timer: verify' verify sandsweep-reconcile.timer
check 'sandsweep-reconcile.timer: spread, and made up for' timer_is_kind
check 'sandsweep-reconcile.service: which exit codes are fine' exit_codes
check 'api: credentials' has_credentials api postgres.dsn
check 'worker: credentials' has_credentials worker postgres.dsn platform.token
check 'reconcile: credentials' has_credentials reconcile postgres.dsn platform.token
if ((EUID == 0)); then
    check 'sysusers: the account' sysusers
    check 'tmpfiles: directories and modes' tmpfiles
else
    echo 'skip  sysusers, tmpfiles: not root'
fi
"$binary" config example >"$work/example"
check 'example configuration: parses' example_as_it_is
check 'example configuration: parses when filled in' example_filled_in
check 'example configuration: its defaults parse' example_defaults
check 'example configuration: explains every key' example_explains
for role in api worker; do check "$role: its drain fits into TimeoutStopSec" drain_fits "$role"; done
if command -v mandoc >/dev/null; then
    "$binary" config mdoc >"$work/settings.mdoc"
    sed -e "/^\.\\\\\" SETTINGS/{
r $work/settings.mdoc
d
}" docs/man/sandsweep.conf.5.in >"$work/sandsweep.conf.5"
    check 'sandsweep(1)' man_page warning docs/man/sandsweep.1
    check 'sandsweep.conf(5)' man_page error "$work/sandsweep.conf.5"
else
    echo 'skip  man pages: no mandoc'
fi
exit "$failed"
