# What scripts/quickstart and scripts/test share. Sourced, not run.
# shellcheck shell=sh

say() { printf '%s\n' "$*" >&2; }

stop() {
  say "error: $1"
  shift
  for hint in "$@"; do say "  hint: $hint"; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

can_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

apt_updated=
apt_install() {
  say "installing Debian packages: $*"
  if [ -z "$apt_updated" ]; then
    apt-get update -qq >&2 || stop "apt-get update failed" "look at the network and /etc/apt"
    apt_updated=yes
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2 ||
    stop "apt-get could not install $*"
}

need_rust() {
  have cargo || stop "there is no cargo" "install Rust: https://rustup.rs"
  # Where the pinned toolchain is not there and cannot be had, the default one may do.
  if ! cargo --version >/dev/null 2>&1 && have rustup; then
    RUSTUP_TOOLCHAIN=$(rustup default | cut -d ' ' -f 1)
    export RUSTUP_TOOLCHAIN
    say "rust-toolchain.toml names a toolchain that cannot be installed: taking $RUSTUP_TOOLCHAIN"
  fi
  if ! have cc; then
    can_apt || stop "there is no C compiler, which Rust links with" \
      "on Debian or Ubuntu: apt-get install gcc libc6-dev"
    apt_install gcc libc6-dev
  fi
}

# Where local-stack looks: PATH and the usual folders.
has_postgres() {
  if have initdb && have postgres; then return 0; fi
  for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    [ ! -x "$folder/initdb" ] || return 0
  done
  return 1
}

# One that is not installed npm downloads. As root on Debian it can be installed as a
# last resort.
need_postgres() {
  if has_postgres || have npm; then return; fi
  install_postgres
}

install_postgres() {
  can_apt || stop "there is no Postgres server and no npm to download one" \
    "on Debian or Ubuntu: apt-get install postgresql; on a Mac: brew install postgresql"
  # Debian's package would start a cluster of its own on port 5432.
  mkdir -p /etc/postgresql-common/createcluster.d
  setting=/etc/postgresql-common/createcluster.d/cruddur-ops.conf
  trap 'rm -f "$setting"' EXIT
  echo 'create_main_cluster = false' >"$setting"
  apt_install postgresql
  rm -f "$setting"
  trap - EXIT
}

# Cognito is moto, which local-stack installs for itself. Without a Python that
# can do so the rest works: the caller says what is missing.
need_python() {
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null && can_apt; then
    apt_install python3 python3-venv
  fi
  python3 -c 'import venv, ensurepip' 2>/dev/null
}
