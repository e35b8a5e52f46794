#!/bin/sh
# Containers of the whole engine on cgroup v2, from the client down: run by init.sh in the virtual machine.

fail() {
    echo "containers: $*"
    exit 1
}

# is WHAT FOUND WANTED
is() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
    echo "containers: $1 ... ok"
}

root=/root/rootfs
mkdir -p $root/bin $root/tmp $root/etc
cp /bin/busybox $root/bin/
for name in sh cat sleep dd echo true ip ping wget nc id ls mknod test; do
    ln -s busybox $root/bin/$name
done

# The client starts the daemon.
barge version > /dev/null || fail "there is no daemon"
[ -f /run/barge/barge.pid ] || fail "the daemon left no pid file"

tar -C $root -cf - . | barge import - busybox > /dev/null || fail "import"

is "output" "$(barge run --rm busybox echo hello)" hello
barge run --rm busybox sh -c 'exit 7'
is "exit code" $? 7

id=$(barge run -d --name limited --cpus=0.1 --memory=100MB --memory-swap=150MB \
    --cpu-shares=1024 --cpuset-cpus=1 --pids-limit=20 busybox sleep 600) || fail "run -d"
group=/sys/fs/cgroup/barge/$id
is "cpu.max" "$(cat "$group/cpu.max")" "10000 100000"
is "cpu.weight" "$(cat "$group/cpu.weight")" 100
is "memory.max" "$(cat "$group/memory.max")" 104857600
is "memory.swap.max" "$(cat "$group/memory.swap.max" 2> /dev/null || echo 52428800)" 52428800
is "pids.max" "$(cat "$group/pids.max")" 20
is "cpuset.cpus" "$(cat "$group/cpuset.cpus")" 1
is "own cgroup from inside" "$(barge exec limited cat /proc/self/cgroup)" "0::/"
is "limit from inside" "$(barge exec limited cat /sys/fs/cgroup/memory.max)" 104857600

barge exec limited sh -c ': < /dev/null' || fail "/dev/null is refused"
found=$(barge exec --privileged limited sh -c 'mknod /tmp/mem c 1 1 && : < /tmp/mem' 2>&1)
case $found in
    *"Operation not permitted"*) echo "containers: a device that is not listed ... ok" ;;
    *) fail "a device that is not listed: $found" ;;
esac

barge pause limited > /dev/null || fail "pause"
is "paused" "$(cat "$group/cgroup.freeze")" 1
barge unpause limited > /dev/null || fail "unpause"
is "unpaused" "$(cat "$group/cgroup.freeze")" 0

barge run --rm -m 16MB --memory-swap 16MB busybox dd if=/dev/zero of=/dev/null bs=64M count=1
is "code of what the OOM killer takes" $? 137

gateway=$(barge run --rm busybox ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
barge run --rm busybox ping -c 1 -W 5 "$gateway" > /dev/null || fail "ping $gateway"
echo "containers: the bridge ... ok"

barge rm -f limited > /dev/null || fail "rm -f"
[ ! -e "$group" ] || fail "$group is left"
is "containers that are left" "$(barge ps -aq)" ""
kill "$(cat /run/barge/barge.pid)"
while [ -e /run/barge/barge.pid ]; do sleep 0.1; done
is "groups that are left" "$(find /sys/fs/cgroup/barge -mindepth 1 -type d 2> /dev/null)" ""
