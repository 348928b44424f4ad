#!/usr/bin/env bash
# The tests of sandboxes without an engine need bwrap: installs it where we are root on Debian or Ubuntu.
set -euo pipefail
command -v bwrap >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing bubblewrap for the tests of sandboxes without an engine"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap >/dev/null
else
  echo "setup: the tests of sandboxes without an engine are skipped: bwrap is missing (sudo apt-get install bubblewrap)" >&2
fi
