#!/bin/sh
# The first process of a machine that is to run a distribution: systemd needs a root that it can leave.
export PATH=/bin
/bin/busybox --install -s /bin
mkdir /machine
mount -t tmpfs -o mode=755 tmpfs /machine
cp -a /packages/. /machine
exec switch_root /machine /usr/lib/systemd/systemd
