#!/usr/bin/env bash
# Puts relapse into the runner's tools: from a release archive whose digest is known, else built, where its own source is at hand.
set -euo pipefail
tools="${RUNNER_TEMP:?}/relapse"
mkdir -p "$tools"
if [ -n "${RELAPSE_ARCHIVE:-}" ]; then
  [ -n "${RELAPSE_SHA256:-}" ] || { echo "an archive needs its sha256" >&2; exit 2; }
  curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --output "$tools/archive.tar.gz" "$RELAPSE_ARCHIVE"
  echo "$RELAPSE_SHA256  $tools/archive.tar.gz" | sha256sum --check --quiet
  tar --extract --gzip --file "$tools/archive.tar.gz" --directory "$tools" --strip-components 1
elif grep --quiet --line-regexp 'name = "relapse"' "$RELAPSE_SOURCE/Cargo.toml" 2>/dev/null; then
  cargo build --release --locked --manifest-path "$RELAPSE_SOURCE/Cargo.toml" --target-dir "$tools/target"
  cp "$tools/target/release/relapse" "$tools/relapse"
else
  echo "say where relapse comes from: the defaults of archive and sha256 in .github/actions/relapse/action.yml" >&2
  exit 2
fi
"$tools/relapse" --version
echo "$tools" >> "$GITHUB_PATH"
