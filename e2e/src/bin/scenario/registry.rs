//! All scenarios by name.

use crate::{
    attack, autoreap, basic, busy, command, compat, dying, exec, memory, namespace, orphan, parent,
    ptrace, puppet, signals, steal, storm, threads, uring, waitid,
};

/// A scenario.
pub(crate) struct Entry {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// The program.
    pub(crate) run: fn(&[String]),
    /// Why it can't run on this machine, if so.
    pub(crate) cannot_run: fn() -> Option<String>,
}

/// A scenario that runs anywhere.
const fn anywhere(name: &'static str, run: fn(&[String])) -> Entry {
    Entry {
        name,
        run,
        cannot_run: || None,
    }
}

/// A scenario that needs something.
const fn probed(
    name: &'static str,
    run: fn(&[String]),
    cannot_run: fn() -> Option<String>,
) -> Entry {
    Entry {
        name,
        run,
        cannot_run,
    }
}

/// The catalogue.
pub(crate) const ENTRIES: &[Entry] = &[
    anywhere("hold", basic::hold),
    anywhere("steal", steal::steal),
    anywhere("blocked-waiter", basic::blocked_waiter),
    anywhere("handler-wnohang", basic::handler_wnohang),
    anywhere("clone-exit-signal-0", basic::clone_exit_signal_0),
    anywhere("clone-exit-signal-usr1", basic::clone_exit_signal_usr1),
    anywhere("clone-parent", basic::clone_parent),
    anywhere("wait-any", basic::wait_any),
    anywhere("poll", basic::poll),
    anywhere("thread-reaps", basic::thread_reaps),
    anywhere("busy-cpu-waiter", busy::waiter),
    anywhere("busy-cpu-handler", busy::handler),
    anywhere("ignore-idle", autoreap::ignore_idle),
    anywhere("ignore-blocked", autoreap::ignore_blocked),
    anywhere("nocldwait-handler", autoreap::nocldwait_handler),
    anywhere("nocldwait-default", autoreap::nocldwait_default),
    anywhere("ignore-after-death", autoreap::ignore_after_death),
    anywhere("leader-exits-first", threads::leader_exits_first),
    anywhere(
        "leader-exits-first-group",
        threads::leader_exits_first_group,
    ),
    anywhere(
        "leader-exits-first-ignored",
        threads::leader_exits_first_ignored,
    ),
    anywhere("exit-group-threads", threads::exit_group_threads),
    anywhere("thread-churn", threads::thread_churn),
    anywhere("two-threads-exit", threads::two_threads_exit),
    anywhere("zombie-leader-parent", threads::zombie_leader_parent),
    anywhere("parent-thread-dies", threads::parent_thread_dies),
    anywhere("exec", exec::exec),
    anywhere("exec-thread-leader-live", exec::thread_leader_live),
    anywhere("exec-thread-leader-zombie", exec::thread_leader_zombie),
    anywhere("reap-any", exec::reap_any),
    anywhere("made-before-exec", exec::made_before_exec),
    anywhere("exec-with-zombie", exec::exec_with_zombie),
    anywhere("adopted-after-exec", exec::adopted_after_exec),
    anywhere("vfork", exec::vfork),
    anywhere("reparent", orphan::reparent),
    anywhere("reparent-ignored", orphan::reparent_ignored),
    anywhere(
        "reparent-ignored-grandparent",
        orphan::reparent_ignored_grandparent,
    ),
    anywhere("parent-dies-first", orphan::parent_dies_first),
    anywhere("adopted-by-init", orphan::adopted_by_init),
    anywhere("ptrace-seize", ptrace::seize),
    anywhere("ptrace-tracer-dies", ptrace::tracer_dies),
    anywhere("ptrace-traceme", ptrace::trace_me),
    anywhere("ptrace-thread", ptrace::thread),
    anywhere("ptrace-thread-last", ptrace::thread_last),
    anywhere("waitid", waitid::plain),
    anywhere("waitid-wnowait", waitid::wnowait),
    anywhere("waitid-null", waitid::null),
    anywhere("waitid-null-many", waitid::null_many),
    probed("waitid-pidfd", waitid::pidfd, waitid::no_pidfd),
    probed("waitid-clone-pidfd", waitid::clone_pidfd, waitid::no_pidfd),
    probed("io-uring-blocked", uring::blocked, uring::no_waitid),
    probed("io-uring-late", uring::late, uring::no_waitid),
    anywhere("ns-reap-inside", namespace::reap_inside),
    anywhere("ns-init-dies", namespace::init_dies),
    anywhere("ns-init-dies-many", namespace::init_dies_many),
    anywhere("ns-nested", namespace::nested),
    anywhere("ns-nested-teardown", namespace::nested_teardown),
    anywhere("ns-unshare", namespace::unshare),
    anywhere("ns-uts-names", namespace::uts_names),
    probed(
        "ns-pid-reuse",
        namespace::pid_reuse,
        namespace::no_ns_last_pid,
    ),
    probed(
        "pid-reuse",
        namespace::pid_reuse_global,
        namespace::no_ns_last_pid,
    ),
    anywhere("blocked-sigchld", signals::blocked_sigchld),
    anywhere("stop-cont-kill", signals::stop_cont_kill),
    anywhere("forged-sigchld", signals::forged_sigchld),
    anywhere("killed", signals::killed),
    anywhere("forge-notification", attack::forge_notification),
    anywhere("hide-zombie", attack::hide_zombie),
    anywhere("steal-reap", attack::steal_reap),
    probed("int80-wait4", compat::int80_wait4, compat::no_int80),
    anywhere("parent-stopped", parent::stopped),
    anywhere("parent-waits-other", parent::waits_other),
    probed("parent-frozen", parent::frozen, parent::no_freezer),
    anywhere("core-dump", memory::core_dump),
    probed("big-mm", memory::big, memory::no_memory),
    anywhere("burst", storm::burst),
    anywhere("fork-loop", storm::fork_loop),
    anywhere("exit", command::exit),
    anywhere("quick", command::quick),
    anywhere("odd-comm", command::odd_comm),
    anywhere("wait-term", command::wait_term),
    anywhere("leave-alive", command::leave_alive),
    anywhere("fork-until-killed", command::fork_until_killed),
    anywhere("stay-in-vfork", command::stay_in_vfork),
    anywhere("push-keys", command::push_keys),
    anywhere("puppet", puppet::run),
    probed("dying", dying::run, dying::no_fuse),
];
