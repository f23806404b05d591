#!/usr/bin/env bash
# Turns the action's inputs, which came as variables, into one command.
set -euo pipefail
arguments=(--report-dir "$RELAPSE_REPORT_DIR" --github)
case "$RELAPSE_COMMAND" in
  run)
    arguments+=(--mode "$RELAPSE_MODE")
    [ -z "$RELAPSE_SHARD" ] || arguments+=(--shard "$RELAPSE_SHARD")
    [ -z "$RELAPSE_CHANGED_SINCE" ] || arguments+=(--changed-since "$RELAPSE_CHANGED_SINCE")
    [ -z "$RELAPSE_BUDGET_USD" ] || arguments+=(--budget-usd "$RELAPSE_BUDGET_USD")
    ;;
  merge) arguments+=(-- "$RELAPSE_INPUT_DIR") ;;
  *) echo "the command is run or merge, not $RELAPSE_COMMAND" >&2; exit 2 ;;
esac
exec relapse "$RELAPSE_COMMAND" "${arguments[@]}"
