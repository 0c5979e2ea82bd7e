#!/usr/bin/env bash
# The first minute of a new user: in a fresh Debian root with git, python3 and pip and nothing else, `./run chat` must
# install what is missing, build, fetch the default model, answer a question and leave with status 0 within 10 minutes.
#
# usage: tests/e2e/bare_root.sh [FOLDER]   (needs root and debootstrap; default folder: a new one under /var/tmp)
# The root gets this host's own package settings (apt sources, pip configuration, certificates, proxy variables), which
# are read from the host when the test runs. BARE_ROOT_KEEP=1 keeps the folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ "$(id -u)" -eq 0 ] || { echo "bare_root: skipped, it needs root for chroot"; exit 0; }
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }

root=${1:-$(mktemp -d /var/tmp/turgo-bare.XXXXXX)}
log=$root.log
clean() {
  local mounted
  for mounted in proc dev; do umount -l "$root/$mounted" 2>/dev/null || true; done
  [ -n "${BARE_ROOT_KEEP:-}" ] || rm -rf --one-file-system "$root"
}
trap clean EXIT

# Either file may be missing; disabled files and comments do not count.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -v '^ *#' | grep -oE 'https?://[^ ]+' | grep -v security | head -n 1 || true)
[ -n "$mirror" ] || { echo "bare_root: no package mirror in /etc/apt"; exit 1; }
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "bare_root: $codename into $root"
debootstrap --variant=minbase --include=ca-certificates,git,python3,python3-pip "$codename" "$root" "$mirror" >"$log" 2>&1 ||
  { tail -n 5 "$log"; exit 1; }

# The host's own way to its package sources.
cp -a /etc/apt/. "$root/etc/apt/"
cp -a /etc/ssl/certs "$root/etc/ssl/"
[ -d /usr/local/share/ca-certificates ] && cp -a /usr/local/share/ca-certificates "$root/usr/local/share/"
[ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/pip.conf"
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
variables=()
while IFS='=' read -r name value; do
  case $name in
    PIP_* | *_proxy | *_PROXY | SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE)
      if [ -f "$value" ]; then install -D "$value" "$root$value"; fi
      variables+=("$name=$value") ;;
  esac
done < <(env)

git clone -q . "$root/turgo"
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${variables[@]}" "$@"; }

start=$SECONDS
printf 'What is gravity?\n\nexit\n\n' | in_root bash -c 'cd /turgo && git config --global --add safe.directory /turgo; ./run chat' >"$root/answer" 2>"$root/messages" ||
  { echo "bare_root: ./run chat failed"; tail -n 20 "$root/messages"; exit 1; }
first=$((SECONDS - start))
start=$SECONDS
printf 'exit\n\n' | in_root bash -c 'cd /turgo && ./run chat' >/dev/null 2>&1 || { echo "bare_root: second start failed"; exit 1; }
echo "bare_root: first chat after $first s, second start $((SECONDS - start)) s"
cat "$root/answer"
grep -q 'double enter to end input >>>' "$root/answer" || { echo "bare_root: no prompt"; exit 1; }
[ "$(wc -c <"$root/answer")" -gt 120 ] || { echo "bare_root: no answer"; exit 1; }
[ "$first" -le 600 ] || { echo "bare_root: more than 10 minutes"; exit 1; }
echo "1 passed, 0 failed"
