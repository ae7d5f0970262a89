#!/bin/bash
# Runs as a service of a machine with a package installed: tries the unit, the manual and the completion as
# their users would, and powers off.
exec </dev/null >/dev/console 2>&1
export LC_ALL=C

attempt() {
    name=$1
    shift
    "$@" >/tmp/output 2>&1
    status=$?
    echo "zt.attempt=$name"
    cat /tmp/output
    echo "zt.status=$status"
}

metrics() {
    exec 3<>/dev/tcp/127.0.0.1/9816 || return
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    cat <&3
    exec 3>&-
}

# Its parent, which never waits, is `sleep`.
zombies() {
    for _ in {1..600}; do
        metrics | grep '^zombie_trace_zombies{.*parent="sleep".*} 3' && return
        sleep 0.1
    done
    metrics
    false
}

completion() {
    . /usr/share/bash-completion/bash_completion
    # What Tab does: the function for commands without one finds the script by the command's name.
    load=$(complete -p -D | sed 's/.*-F \([^ ]*\).*/\1/')
    "$load" zombie-trace
    COMP_WORDS=(zombie-trace doc)
    COMP_CWORD=1
    "$(complete -p zombie-trace | sed 's/.*-F \([^ ]*\).*/\1/')" zombie-trace doc zombie-trace
    echo "${COMPREPLY[@]}"
}

show() {
    systemctl show --property "$1" zombie-trace
}

attempt manual env MANPAGER=cat MANWIDTH=100 man zombie-trace
attempt completion completion
attempt enable systemctl enable --now zombie-trace
# They end after their parent has become one that does not reap.
bash -c 'for _ in 1 2 3; do sleep 5 & done; exec sleep 3600' &
attempt zombies zombies
attempt unit show ActiveState,UnitFileState,FragmentPath,DynamicUser
attempt process cat "/proc/$(systemctl show --value --property MainPID zombie-trace)/status"
attempt stop systemctl stop zombie-trace
attempt stopped show ActiveState,Result,ExecMainStatus
attempt warnings journalctl --quiet --priority=warning --unit zombie-trace
systemctl poweroff --force --force
