#!/bin/sh
# The first process of a test kernel: runs the end-to-end tests and powers off.
# The kernel's command line tells which: zt.filter=PART zt.backend=NAME
export PATH=/bin:/usr/bin
# It may be of another architecture than what has packed this.
/bin/busybox --install -s /bin 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# The controller of the starved parent.
echo +cpu > /sys/fs/cgroup/cgroup.subtree_control
hostname test
# What is served is asked for over it.
ip link set lo up

filter=
for word in $(cat /proc/cmdline); do
    case $word in
    zt.filter=*) filter=${word#*=} ;;
    zt.backend=*) export ZOMBIE_TRACE_BACKEND="${word#*=}" ;;
    esac
done
export ZOMBIE_TRACE_BIN=/bin/zombie-trace ZOMBIE_TRACE_SCENARIO=/bin/scenario
export ZOMBIE_TRACE_LOAD=/bin/load ZOMBIE_TRACE_EMULATED=1
/bin/e2e --test-threads=1 --color=never "$filter"
echo "zt.status=$?"
poweroff -f
