# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.

scripts=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$scripts")

# fail CODE SENTENCE: the sentence on standard error, the code (sysexits.h) to the caller.
fail() {
    printf '%s: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

# Prints a Java 17 or newer; returns 1 if there is none.
find_java() {
    local java major
    for java in /usr/lib/jvm/java-17-openjdk-*/bin/java; do
        [[ -x $java ]] && { echo "$java"; return 0; }
    done
    java=$(command -v java) || return 1
    major=$("$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p') || return 1
    [[ $major =~ ^[0-9]+$ ]] && ((major >= 17)) || return 1
    echo "$java"
}

# Where the Python packages that tests/contract/requirements.txt names belong.
contract_tools() {
    echo "$root/.deps/contract-$(sha256sum "$root/tests/contract/requirements.txt" | cut -c1-12)"
}

# Where the jars of the Kafka version that kafka-pom.xml names belong.
kafka_lib() {
    echo "$root/.deps/kafka-$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$scripts/kafka-pom.xml")/lib"
}
