# shellcheck shell=bash disable=SC2034  # the sourcing scripts use the variables
# What the scripts share. To be sourced, not run.

# A failure inside $(...) must end the script too.
shopt -s inherit_errexit

# Downloads and tools, kept between runs and shared by all checkouts.
cache=${COMANDA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/comanda}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

# Runs one step of a script and says how long it took.
timed() {
  local title=$1 begin=$SECONDS
  shift
  "$@"
  say "${0##*/}: $title: $((SECONDS - begin)) s"
}

# The help is the comment at the top of the script, so that there is one text to keep true.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

usage_error() {
  say "${0##*/}: $*"
  say "Try '$0 --help'."
  exit 2
}

# Where the servers keep their data. Not in the checkout: Postgres refuses to run as root, and the account it then runs as
# cannot enter a checkout under /root. Not in /tmp either, which may be memory and would make fsync mean nothing.
run_dir() {
  local run=${COMANDA_RUN:-/var/tmp/comanda-run-$UID}
  [[ $run == /* ]] || run=$PWD/$run
  mkdir -p "$run"
  # Anyone may create folders in /var/tmp, also one with our name.
  [[ -O $run ]] || die "$run belongs to somebody else. Set COMANDA_RUN to a folder of your own."
  printf '%s\n' "$run"
}

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range from which the kernel takes ports for outgoing connections, so that none of those is in the way later.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 12000))
    port_in_use "$port" || port_in_use $((port + 1)) || break
  done
  printf '%s\n' "$port"
}

# Prints the port to use: the wanted one, where none is named the one this instance had before or else the default, and for
# 0 the one it had before if nobody took it in the meantime or else a free one.
choose_port() {
  local wanted=$1 default=$2 file=$3 before='' chosen
  [[ ! -s $file ]] || before=$(<"$file")
  case $wanted in
    0) if [[ -n $before ]] && ! port_in_use "$before"; then chosen=$before; else chosen=$(free_port); fi ;;
    '') chosen=${before:-$default} ;;
    *) chosen=$wanted ;;
  esac
  if port_in_use "$chosen"; then
    die "port $chosen is in use by another program. Choose one with --port, or let one be chosen with --port 0."
  fi
  printf '%s\n' "$chosen"
}

# Waits until the command succeeds, at most so many seconds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# The options of scripts/kafka and scripts/postgres.
name=dev port='' dir='' heap=1g
option() {
  [[ -n $2 ]] || usage_error "$1 needs a value"
  case $1 in
    --name)
      [[ $2 =~ ^[A-Za-z0-9_-]+$ ]] || usage_error "--name takes letters, digits, - and _, not '$2'"
      name=$2
      ;;
    --port)
      [[ $2 =~ ^(0|[1-9][0-9]{0,4})$ && $2 -lt 65535 ]] || usage_error "--port takes a number below 65535, not '$2'"
      port=$2
      ;;
    --dir) dir=$2 ;;
    --heap) heap=$2 ;;
  esac
}

# Prints the absolute folder of an instance: the one from --dir, or NAME/KIND among the others.
instance_dir() {
  local folder=$dir run
  if [[ -z $folder ]]; then
    run=$(run_dir)
    folder=$run/$name/$1
  fi
  [[ $folder == /* ]] || folder=$PWD/$folder
  printf '%s\n' "$folder"
}

# Two starts of one instance at the same time: the second waits and then finds it running. File descriptor 9 holds the lock;
# a server must not inherit it (9>&-), or the lock would last as long as the server.
lock() {
  exec 9>"$1"
  flock --wait 120 9 || die "another start or stop of this instance has held $1 for two minutes."
}

# Sets COMANDA_BIN to a program of this checkout, unless it names one already.
build_comanda() {
  [[ -z ${COMANDA_BIN-} ]] || return 0
  cargo build --locked --package comanda
  COMANDA_BIN=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/comanda
}

# Starts `comanda all` for a check, with a database and topics of its own and these options, and waits until it serves. Its process is $server,
# its folder $work; COMANDA_BIN is the program.
start_comanda() {
  local address=$1 name=check_$RANDOM$RANDOM
  shift
  psql --quiet "$COMANDA_TEST_DATABASE_URL" --command "CREATE DATABASE $name"
  export DATABASE_URL=${COMANDA_TEST_DATABASE_URL%/*}/$name COMANDA_TOPIC_PREFIX=$name.
  export KAFKA_BOOTSTRAP_SERVERS=$COMANDA_TEST_KAFKA_BOOTSTRAP_SERVERS
  "$COMANDA_BIN" migrate --partitions 3
  "$COMANDA_BIN" all --listen "$address" --mail-dir "$work/mails" "$@" 2>"$work/server.log" &
  server=$!
  wait_until 30 comanda_serves "$address" || { cat "$work/server.log" >&2 && die "the server did not start; see above"; }
}

comanda_serves() {
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2 && die "the server has ended; see above"; }
  "$COMANDA_BIN" healthcheck --addr "$1" >/dev/null 2>&1
}

stop_comanda() {
  [[ -z $server ]] || { kill "$server" 2>/dev/null && wait "$server"; } || true
  rm -rf "$work"
}

# Prints the indented blocks of a document, each with a form feed after it.
blocks() { awk '/^    /{print substr($0, 5); open = 1; next} open {printf "\f"; open = 0} END {if (open) printf "\f"}' "$1"; }
