#!/bin/sh
# Process 1 of a User-Mode Linux with cgroup v2: runs the daemon and containers, and says what it sees in sections that
# the test reads. Only file systems in memory are written to; the host's is mounted read-only.
section() { echo "== $1"; }
own=$(dirname "$0") vm=$(dirname "$0")/vm
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs "$vm"
busybox insmod /usr/lib/uml/modules/"$(uname -r)"/kernel/fs/overlayfs/overlay.ko
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
apparmor_parser -K -r "$own/profile"
ip link set lo up
export ORCA_HOST=unix:///run/orca/orca.sock NO_COLOR=1
orca() { "$own/orca" "$@" 2>&1; }
run() { orca run --rm --network host "$@"; }

"$own/orca" daemon --log debug --add-runtime crun=/usr/bin/crun --data-dir "$vm/data" --run-dir /run/orca >"$vm/log" 2>&1 &
tries=0
until orca ps -q >/dev/null; do
  tries=$((tries + 1)); [ $tries = 200 ] && break
  sleep 0.1
done
orca import "$own/busybox.tar" busybox -c 'CMD ["sh"]' >/dev/null

section controllers; cat /sys/fs/cgroup/cgroup.controllers
section limits
run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 33 busybox \
  sh -c 'cd /sys/fs/cgroup; cat /proc/self/cgroup memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max'
section cgroup-is-read-only
run busybox sh -c 'echo 99 >/sys/fs/cgroup/pids.max || echo refused; ls -d /sys/fs/cgroup/orca-* || echo alone'
section devices
run busybox sh -c 'echo x >/dev/null && echo null-writable; head -c 1 /dev/zero | wc -c
  mknod /tmp/kmsg c 1 11 && echo node-made; cat /tmp/kmsg >/dev/null || echo kmsg-denied
  mknod /tmp/ubd b 98 0; cat /tmp/ubd >/dev/null || echo disk-denied'
section devices-granted
run --device /dev/ubda:/dev/disk:r busybox sh -c 'head -c 4 /dev/disk; echo; echo x >/dev/disk || echo read-only-disk'
section devices-privileged
run --privileged busybox sh -c 'mknod /tmp/ubd b 98 0; head -c 4 /tmp/ubd; echo'
section devices-exec
id=$(orca run -d --network host busybox sleep 1000)
orca exec "$id" sh -c 'mknod /tmp/kmsg c 1 11; cat /tmp/kmsg >/dev/null || echo kmsg-denied'
section frozen
events() { grep frozen /sys/fs/cgroup/orca-*/"$id"/cgroup.events; }
orca pause "$id" >/dev/null && events && orca unpause "$id" >/dev/null && events
section stats
orca stats --no-stream --format json "$id"
section removed
orca rm -f "$id" >/dev/null
find /sys/fs/cgroup/orca-* -mindepth 1 -type d; echo nothing-more
section out-of-memory
run -m 16m --memory-swap 16m busybox sh -c 'x=$(yes | head -c 100000000); echo'
echo "code $?"
section pids
run --pids-limit 5 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo forked' | grep -c "can't fork"
section refused
for flags in "--cpuset-cpus 0" "--oom-kill-disable" "--memory-swappiness 5" "--cpu-rt-runtime 5" "--blkio-weight 300"; do
  run $flags busybox true
  echo "code $?"
done
section io
id=$(orca run -d --network host --device-read-bps /dev/ubda:1mb --device-write-iops /dev/ubda:40 busybox sleep 1000)
cat /sys/fs/cgroup/orca-*/"$id"/io.max
orca rm -f "$id" >/dev/null
section apparmor-default
run busybox cat /proc/self/attr/current
run --cap-add SYS_ADMIN --security-opt seccomp=unconfined busybox sh -c 'mount -t tmpfs none /tmp || echo no-mount'
section apparmor
run --security-opt apparmor=orca-test busybox sh -c 'cat /proc/self/attr/current; cat /etc/passwd'
id=$(orca run -d --network host --security-opt apparmor=orca-test busybox sleep 1000)
orca exec "$id" cat /proc/self/attr/current
orca rm -f "$id" >/dev/null
run --security-opt apparmor=unconfined busybox cat /proc/self/attr/current
run --security-opt apparmor=absent busybox true
echo "code $?"
section crun
run --runtime crun -m 64m --pids-limit 33 busybox \
  sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg >/dev/null || echo kmsg-denied; exit 7'
echo "code $?"
run --runtime crun busybox no-such-program
echo "code $?"
id=$(orca run -d --network host --runtime crun busybox sleep 1000)
orca exec "$id" cat /proc/1/comm
orca exec "$id" no-such-program
echo "code $?"
orca rm -f "$id" >/dev/null
find /sys/fs/cgroup/orca-* -mindepth 1 -type d; echo nothing-more
section daemon-log
grep -E 'ERROR|WARN' "$vm/log"
section done
echo o >/proc/sysrq-trigger
sleep 60
