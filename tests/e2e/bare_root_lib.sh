# Sourced by bare_root*.sh: a fresh Debian root with this host's own package settings (apt sources, pip configuration,
# certificates, proxy variables), which are read from the host when the test runs.
#
#   make_bare_root FOLDER PACKAGES   PACKAGES: a comma-separated list; needs root and debootstrap. The root is taken away when
#                                    the script ends, unless BARE_ROOT_KEEP=1.
#   in_root COMMAND …                runs there, with nothing of this environment but the package settings

[ "$(id -u)" -eq 0 ] || { echo "$(basename "$0"): skipped, it needs root for chroot"; exit 0; }

clean_bare_root() {
  local mounted
  for mounted in proc dev; do umount -l "$root/$mounted" 2>/dev/null || true; done
  [ -n "${BARE_ROOT_KEEP:-}" ] || rm -rf --one-file-system "$root"
}

make_bare_root() {
  root=$1
  local log=$root.log mirror codename name value
  command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }
  trap clean_bare_root EXIT
  # Either file may be missing; disabled files and comments do not count.
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+' | grep -v security | head -n 1 || true)
  [ -n "$mirror" ] || { echo "bare_root: no package mirror in /etc/apt"; exit 1; }
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  echo "bare_root: $codename into $root"
  debootstrap --variant=minbase --include="$2" "$codename" "$root" "$mirror" >"$log" 2>&1 || { tail -n 5 "$log"; exit 1; }

  # The host's own way to its package sources.
  cp -a /etc/apt/. "$root/etc/apt/"
  cp -a /etc/ssl/certs "$root/etc/ssl/"
  [ -d /usr/local/share/ca-certificates ] && cp -a /usr/local/share/ca-certificates "$root/usr/local/share/"
  [ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/pip.conf"
  cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --make-rslave "$root/dev"
  root_variables=()
  while IFS='=' read -r name value; do
    case $name in
      PIP_* | *_proxy | *_PROXY | SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE)
        if [ -f "$value" ]; then install -D "$value" "$root$value"; fi
        root_variables+=("$name=$value") ;;
    esac
  done < <(env)
}

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${root_variables[@]}" "$@"; }
