#!/bin/sh
# A node as most are: cgroup v2, AppArmor; devices of every kind, a file server.
. "$(dirname "$0")/start.sh"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t nfsd nfsd /proc/fs/nfsd && mount -t tmpfs tmpfs /var/lib/nfs && mkdir -p /var/lib/nfs/sm /run/rpcbind "$vm/export"
echo 'from the server' >"$vm/export/file"
echo '127.0.0.1 fileserver' >>/etc/hosts
rpcbind
exportfs -i -o rw,no_root_squash,fsid=0,insecure,no_subtree_check "*:$vm/export"
rpc.nfsd -G 10 -L 10 2 && rpc.mountd
apparmor_parser -K -r "$own/profile"
ip link add lan0 type dummy && ip link set lan0 up
daemon --add-runtime crun=/usr/bin/crun
orca import "$own/busybox.tar" busybox -c 'CMD ["sh"]' >/dev/null

section default-profile
orca info --format '{{json .SecurityOptions}}'
run busybox cat /proc/self/attr/current
run --runtime crun busybox cat /proc/self/attr/current
id=$(orca run -d --network host --pid host --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined busybox sleep 1000)
orca inspect --format 'profile {{.AppArmorProfile}}' "$id"
orca exec "$id" cat /proc/self/attr/current
orca exec "$id" sh -c 'mount -t tmpfs none /tmp || echo no-mount; readlink /proc/1/exe || echo no-ptrace; echo x >/proc/sysrq-trigger || echo no-write'
orca exec "$id" sh -c 'sleep 100 & readlink /proc/$!/exe; kill $! && echo own-are-free'
orca rm -f "$id"
section unloaded
echo -n docker-default >/sys/kernel/security/apparmor/.remove
run busybox cat /proc/self/attr/current
section unconfined
run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
  busybox sh -c 'cat /proc/self/attr/current; mount -t tmpfs none /tmp && echo mounted'
run --privileged busybox cat /proc/self/attr/current
section named
run --security-opt apparmor=orca-test busybox sh -c 'cat /proc/self/attr/current; cat /etc/passwd'
run --security-opt apparmor=absent busybox true; code

section cpuset
run --cpuset-cpus 1 busybox cat /sys/fs/cgroup/cpuset.cpus.effective

section macvlan
orca network create -d macvlan --subnet 192.0.2.0/24 -o parent=lan0 lan >/dev/null
orca run -d --name tool --network lan busybox httpd -f -h /etc >/dev/null
orca run --rm --network lan busybox wget -qO- http://tool/passwd
section ipvlan
for mode in l2 l3; do
  ip link add "wan-$mode" type dummy && ip link set "wan-$mode" up
  orca network create -d ipvlan --subnet 198.51.100.0/24 -o parent=wan-$mode -o ipvlan_mode=$mode $mode >/dev/null
  id=$(orca run -d --name site-$mode --network $mode busybox httpd -f -h /etc)
  nsenter -t "$(orca inspect --format '{{.State.Pid}}' "$id")" -n ip -d -o link show eth0 | grep -o "ipvlan  *mode [a-z0-9]*"
  echo "parent $(cat /sys/class/net/wan-$mode/address)"
  orca inspect --format "mac {{(index .NetworkSettings.Networks \"$mode\").MacAddress}}." "$id"
  orca run --rm --network $mode busybox sh -c "ip -o link show eth0 | grep -o 'link/ether [0-9a-f:]*'; wget -qO- http://site-$mode/passwd"
  orca rm -f site-$mode; orca network rm $mode
done
section vlan
orca network create -d ipvlan --subnet 203.0.113.0/24 -o parent=lan0.50 tagged >/dev/null
ip -d -o link show lan0.50 | grep -o 'vlan protocol 802.1Q id 50'
orca network rm tagged
tries=0
while ip link show lan0.50 >/dev/null 2>&1 && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
ip link show lan0.50 || echo gone
section ports
orca run -d --name web -p 8080:80 busybox httpd -f -p 80 -h /etc >/dev/null
busybox wget -qO- http://127.0.0.1:8080/passwd
section wireguard
ip link add wg0 type wireguard && ip link set wg0 up && modprobe -n wireguard && echo kernel-has-it

section nfs
orca volume create --opt type=nfs --opt o=addr=127.0.0.1,rw,nfsvers=4 --opt device=:/ four
orca volume create --opt type=nfs --opt "o=addr=fileserver,ro,nolock,nfsvers=3" --opt "device=:$vm/export" three
run -v four:/n busybox sh -c 'cat /n/file; echo written >/n/new'
cat "$vm/export/new"
run -v three:/n busybox sh -c 'cat /n/new; echo x >/n/new || echo read-only'
orca volume create --opt type=nfs --opt o=addr=nowhere.invalid --opt device=:/ lost >/dev/null
run -v lost:/n busybox true; code
grep -cE ' nfs4? ' /proc/mounts
finish
