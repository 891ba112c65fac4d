# Read first by the first process of a virtual machine. Only file systems in memory are written to.
section() { echo "== $1"; }
own=$(dirname "$0") vm=$(dirname "$0")/vm
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs "$vm"
mount -t securityfs securityfs /sys/kernel/security
mkdir -p /dev/pts /lib/modules && mount -t devpts devpts /dev/pts && mount --bind "$own/kernel/lib/modules" /lib/modules
ip link set lo up
export ORCA_HOST=unix:///run/orca/orca.sock NO_COLOR=1
orca() { "$own/orca" "$@" 2>&1; }
run() { orca run --rm --network host "$@"; }
# Its output is in lines of its own.
code() { echo "code $?"; }
daemon() {
  "$own/orca" daemon --log debug "$@" --data-dir "$vm/data" --run-dir /run/orca >>"$vm/log" 2>&1 &
  tries=0
  until orca ps -q >/dev/null; do
    tries=$((tries + 1)); [ $tries = 300 ] && break
    sleep 0.2
  done
}
finish() {
  section daemon-log
  grep -E 'ERROR|WARN' "$vm/log"
  dmesg | grep 'avc:' | tail -20
  section done
  echo o >/proc/sysrq-trigger
  sleep 60
}
