#!/bin/busybox sh
# The first program of the virtual machine that `cargo xtask vm-test` boots. It makes what an init makes, runs every
# program of /tests, and says in one line how it went.

/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root

if [ "$1" != again ]; then
    # pivot_root refuses to leave the kernel's first root (pivot_root(2)), so containers need another one: the same
    # files, mounted once more.
    mkdir /again
    mount --bind / /again
    cd /again || exit
    mount --move . /
    exec chroot . /bin/sh /init again
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

# A skip for want of cgroup v2 is a failure here.
export BARGE_REQUIRE_CGROUP=v2

failed=
for module in /modules/*.ko; do
    insmod "$module" || failed="$failed $module"
done
# Half of the memory, which a file system in memory may have, is not enough for the programs and all that they write.
mount -o remount,size=75% / || failed="$failed size"
# What layers are made on has to know the attributes of users, which the first root does not on this kernel. Not on
# /tmp: the checkout, and with it the programs, may be below it.
mkdir -p -m 1777 /layers /tmp
export TMPDIR=/layers
dd if=/dev/zero of=/disk bs=1 count=0 seek=2G 2>/dev/null
/usr/bin/mkfs.ext4 -q -F /disk && mount -t ext4 -o loop,discard /disk $TMPDIR || failed="$failed ext4"
chmod 1777 $TMPDIR
for test in /tests/*; do
    name=${test##*/}
    echo "running ${name%-*} on $(uname -r)"
    # Tests are started in the folder of their package.
    cd "$(cat "/folders/$name")" || failed="$failed $name"
    "$test" @ARGUMENTS@ || failed="$failed ${name%-*}"
done

echo
echo "@SENTINEL@ ${failed:-ok}"
reboot -f
