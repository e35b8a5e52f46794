#!/bin/busybox sh
# The first program of the virtual machine that `cargo xtask vm-test` boots. It makes what an init makes, runs every
# program of /tests, and says in one line how it went.

/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
# A skip for want of cgroup v2 is a failure here.
export BARGE_REQUIRE_CGROUP=v2

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/lib
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

failed=
for module in /modules/*.ko; do
    insmod "$module" || failed="$failed $module"
done
for test in /tests/*; do
    echo "running $test on $(uname -r)"
    "$test" @ARGUMENTS@ || failed="$failed $test"
done

sync
echo
echo "@SENTINEL@ ${failed:-ok}"
reboot -f
