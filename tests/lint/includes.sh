#!/usr/bin/env bash
# Includes point one way: decoders/ and sinks/ see the contracts of src/, never the machine behind
# them and never each other; each foreign library is seen only where its job is done.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

# What a plugin may build on. A header joins this list when it is a contract, not to get a build green.
contracts='acks avro_get avro_json avro_put buf change config decoder delivery encode err http log loop lsn
    metrics option reader relation sink stream table worker'

found=0
complain() { printf '%s\n' "$*" && found=1; }

# One line per include: FILE NAME, names as written, <> kept.
includes() {
    local file
    for file in "$@"; do
        [ ! -f "$file" ] || sed -n "s|^ *# *include *\(\"[^\"]*\"\|<[^>]*>\).*|$file \1|p" "$file"
    done
}

shopt -s globstar nullglob
while read -r file name; do
    name=${name//\"/}
    stem=$(basename "$file")
    stem=${stem%%[_.]*}
    case $name in
        ../*) complain "$file: includes $name: say where it is by the include path" ;;
        sinks/* | decoders/*) complain "$file: includes $name, which belongs to a plugin" ;;
        *)
            [[ $file == src/* ]] && continue
            if [ -e "src/$name" ]; then
                grep -qwF -- "${name%.h}" <<<"$contracts" ||
                    complain "$file: includes $name, which is no contract of src/"
            elif [[ $name != aws/* && $(basename "$name") != "$stem"* ]]; then
                complain "$file: includes $name, which belongs to another plugin"
            fi
            ;;
    esac
done < <(includes src/**/*.[ch] decoders/**/*.[ch] sinks/**/*.[ch] | grep '"')

while read -r file name; do
    case "$name $file" in
        '<librdkafka/'*' sinks/'* | '<curl/'*' sinks/'*) ;;
        '<curl/'*' src/http.c' | '<curl/'*' src/http.h' | '<curl/'*' src/registry.c') ;;
        '<librdkafka/'* | '<curl/'*) complain "$file: includes $name, which is for sinks/" ;;
        '<libpq'*' sinks/'* | '<libpq'*' decoders/'*) complain "$file: includes $name, which is for src/" ;;
    esac
done < <(includes src/**/*.[ch] decoders/**/*.[ch] sinks/**/*.[ch] | grep '<')

exit "$found"
