#!/bin/sh
# enter.sh FOLDER SOURCES TREE PREFIX -- COMMAND [ARGUMENT...]
#
# Called in a mount and a pid namespace of its own: makes the place that is measured in and executes the command in it
# as pid 1, so that with the command all processes, mounts and state of its containers end.
#
# FOLDER   is on a disk; the command finds it at /mnt, and a tmpfs for the state of runtimes at /mnt/state
# SOURCES  the checkout, at /srv
# TREE     root of a Debian that becomes the root, read-only, with cgroup v2 alone; "" for the machine as it is
# PREFIX   becomes /usr/local there: what is installed for the tree
set -eu
folder=$1 sources=$2 tree=$3 prefix=$4
shift 5

mount --make-rprivate /
if [ -n "$tree" ]; then
    mount --bind -o ro "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t sysfs sysfs "$tree/sys"
    mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$tree/tmp"
    mount --bind "$prefix" "$tree/usr/local"
else
    mount -t proc proc /proc
fi
mount --bind "$sources" "$tree/srv"
mount --bind "$folder" "$tree/mnt"
mount -t tmpfs tmpfs "$tree/mnt/state"
mount -t tmpfs tmpfs "$tree/run"
if [ -n "$tree" ]; then
    cd "$tree"
    mkdir run/old
    pivot_root . run/old
    umount -l /run/old
fi
cd /srv
exec "$@"
