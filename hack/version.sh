#!/usr/bin/env bash
# Prints the version of this checkout: the tag of a release, or what the go command would call it. Between releases that is a
# pseudo-version, which sorts after the last release and is the same in every clone.
set -euo pipefail
cd "$(dirname "$0")/.."

releases=(--tags --match 'v[0-9]*.[0-9]*.[0-9]*')
state=$(git describe --always --abbrev=12 --dirty --exclude '*' 2>/dev/null) || { echo v0.0.0-unknown; exit; }
revision=${state%-dirty}
dirty=${state#"$revision"}
stamp=$(TZ=UTC0 git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd)-$revision
last=$(git describe "${releases[@]}" --abbrev=0 2>/dev/null || true)

if git describe "${releases[@]}" --exact-match >/dev/null 2>&1; then
	version=$last
elif [ -z "$last" ]; then
	version=v0.0.0-$stamp
elif [[ $last == *-* ]]; then
	version=$last.0.$stamp
else
	version=${last%.*}.$((${last##*.} + 1))-0.$stamp
fi
echo "$version$dirty"
