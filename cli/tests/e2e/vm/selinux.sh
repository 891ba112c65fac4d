#!/bin/sh
# A node with SELinux, which enforces the little policy beside, and with cgroups of both versions (hybrid).
. "$(dirname "$0")/start.sh"
mount -t tmpfs tmpfs /sys/fs/cgroup
for controllers in cpu,cpuacct cpuset memory devices freezer blkio pids; do
  mkdir -p "/sys/fs/cgroup/$controllers" && mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
done
for name in cpu cpuacct; do ln -s cpu,cpuacct "/sys/fs/cgroup/$name"; done
mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified

{
  cat "$own/policy.cil"
  categories=$(seq -f 'c%.0f' 0 1023)
  for category in $categories; do echo "(category $category)"; done
  echo "(categoryorder ($(echo $categories)))"
} >"$vm/policy.cil"
secilc -M true -o "$vm/policy" -f /dev/null "$vm/policy.cil"
mount -t selinuxfs selinuxfs /sys/fs/selinux
# A policy is one write.
busybox dd if="$vm/policy" of=/sys/fs/selinux/load bs=4M 2>/dev/null && echo 1 >/sys/fs/selinux/enforce
mkdir "$vm/shared" "$vm/private" "$vm/closed"
for place in shared private closed; do echo "$place" >"$vm/$place/file"; done
daemon
orca import "$own/busybox.tar" busybox -c 'CMD ["sh"]' >/dev/null

section enforcing
echo "enforcing $(cat /sys/fs/selinux/enforce)"
orca info --format '{{json .SecurityOptions}}'
section process
level=s0:c1,c2
id=$(orca run -d --name held --network none --security-opt label=level:$level -v data:/data \
  -v "$vm/shared:/shared:z" -v "$vm/private:/private:Z" -v "$vm/closed:/closed" busybox sleep 1000)
orca inspect --format '{{.ProcessLabel}} {{.MountLabel}}' "$id"
cat "/proc/$(orca inspect --format '{{.State.Pid}}' "$id")/attr/current" | tr '\0' '\n'
section files
orca exec held sh -c 'cat /proc/self/attr/current | tr "\0" "\n"; cat /shared/file /private/file; cat /closed/file || echo closed-to-it
  echo x >/data/x && echo volume-is-open; hostname >/root/x && echo root-is-open; cat /etc/hosts >/dev/null && echo hosts-are-open'
for place in shared/file private/file closed/file data/volumes/data/_data; do stat -c %C "$vm/$place"; done
section others
orca run --rm --network host --security-opt label=level:s0:c3,c4 -v data:/data -v "$vm/shared:/shared" -v "$vm/private:/private" busybox \
  sh -c 'cat /shared/file /data/x; cat /private/file || echo closed-to-it'
orca run --rm --network container:held --security-opt label=level:s0:c3,c4 busybox sh -c 'cat /etc/hosts >/dev/null && echo hosts-are-open'
section plain
run busybox cat /proc/self/attr/current | tr '\0' '\n'
run --security-opt label=disable busybox cat /proc/self/attr/current | tr '\0' '\n'
section refused
run --security-opt label=type:absent_t busybox true; code
run --security-opt label=odd:x busybox true; code
run -v /etc:/e:z busybox true; code
run --security-opt apparmor=absent busybox true; code
orca rm -f held >/dev/null

section limits
id=$(orca run -d --network host -m 64m --cpu-shares 512 --pids-limit 33 --cpuset-cpus 1 busybox sleep 1000)
for file in memory/memory.limit_in_bytes cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus; do
  cat /sys/fs/cgroup/${file%/*}/orca-*/"$id"/"${file#*/}"
done
orca exec "$id" sh -c 'mknod /tmp/kmsg c 1 11; cat /tmp/kmsg >/dev/null || echo kmsg-denied'
orca rm -f "$id" >/dev/null
find /sys/fs/cgroup -name "$id"; echo nothing-more
finish
