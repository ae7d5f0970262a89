#!/bin/sh
# The first process of a machine with the packages of one architecture, each in a root of its own: tries
# each and powers off. Each line of the list has a root's name, the program and bash's completion script.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev

attempt() {
    name=$1
    shift
    # The console would be a terminal.
    "$@" </dev/null >/tmp/output 2>&1
    status=$?
    echo "zt.attempt=$package $name"
    cat /tmp/output
    echo "zt.status=$status"
}

while read -r package program completion; do
    root=/packages/$package
    mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/bin"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t devtmpfs devtmpfs "$root/dev"
    # With nothing beside the package.
    attempt version chroot "$root" "/$program" --version
    attempt doctor chroot "$root" "/$program" doctor
    chroot "$root" "/$program" completions bash >/tmp/completion
    attempt completion cmp /tmp/completion "$root/$completion"
    # With a shell for what is traced.
    cp /bin/busybox "$root/bin"
    for applet in sh true sleep; do
        ln -s busybox "$root/bin/$applet"
    done
    attempt trace chroot "$root" "/$program" --json -m 0 -- /bin/sh -c '/bin/true & exec /bin/sleep 1'
done </packages/list
poweroff -f
