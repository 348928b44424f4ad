#!/usr/bin/env bash
# The browser tests open reports in a headless Chromium: installs one where we are root on Debian or Ubuntu.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing Chromium for the browser tests"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
  echo "setup: the browser tests need Chromium: install it (for example: sudo apt-get install chromium)" >&2
  exit 1
fi
