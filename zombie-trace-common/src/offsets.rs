/// Names every kernel field that the eBPF programs read, with the paths to it.
///
/// The offsets differ between kernels, so user space resolves them from the running kernel's BTF
/// and hands them over as globals of these names. Each entry lists the alternatives, newest kernel
/// first; `required` ones must be there, the `optional` ones switch a feature off when missing
/// (the global is then [`MISSING`]). A `bit` is an optional bit field, its offset in bits.
#[macro_export]
macro_rules! for_each_offset {
    ($callback:ident) => {
        $callback! {
            required TASK_PID: "task_struct.pid";
            required TASK_TGID: "task_struct.tgid";
            required TASK_FLAGS: "task_struct.flags";
            required TASK_PTRACE: "task_struct.ptrace";
            required TASK_EXIT_STATE: "task_struct.exit_state";
            required TASK_EXIT_CODE: "task_struct.exit_code";
            required TASK_EXIT_SIGNAL: "task_struct.exit_signal";
            required TASK_REAL_PARENT: "task_struct.real_parent";
            required TASK_PARENT: "task_struct.parent";
            required TASK_GROUP_LEADER: "task_struct.group_leader";
            required TASK_THREAD_PID: "task_struct.thread_pid";
            required TASK_START_BOOTTIME: "task_struct.start_boottime", "task_struct.real_start_time";
            required TASK_REAL_CRED: "task_struct.real_cred";
            required TASK_COMM: "task_struct.comm";
            required TASK_SIGNAL: "task_struct.signal";
            required TASK_SIGHAND: "task_struct.sighand";
            required TASK_EXEC_START: "task_struct.se.exec_start";
            required TASK_CPU: "task_struct.thread_info.cpu", "task_struct.cpu";
            required SIGNAL_LIVE: "signal_struct.live.counter";
            required SIGNAL_NR_THREADS: "signal_struct.nr_threads";
            required SIGNAL_FLAGS: "signal_struct.flags";
            required SIGNAL_GROUP_EXIT_CODE: "signal_struct.group_exit_code";
            required SIGHAND_CHLD_HANDLER: "sighand_struct.action[16].sa.sa_handler";
            required SIGHAND_CHLD_FLAGS: "sighand_struct.action[16].sa.sa_flags";
            required CRED_UID: "cred.uid.val";
            required TASK_CGROUPS: "task_struct.cgroups";
            required CSS_SET_DFL_CGRP: "css_set.dfl_cgrp";
            required CGROUP_PARENT: "cgroup.self.parent";
            required CGROUP_KN: "cgroup.kn";
            required KERNFS_NODE_ID: "kernfs_node.id";
            required KERNFS_NODE_NAME: "kernfs_node.name";
            required PID_LEVEL: "pid.level";
            required PID_NUMBERS: "pid.numbers";
            required UPID_NR: "upid.nr";
            required UPID_NS: "upid.ns";
            required PIDNS_INUM: "pid_namespace.ns.inum";
            required TASK_NSPROXY: "task_struct.nsproxy";
            required NSPROXY_UTS: "nsproxy.uts_ns";
            required UTSNS_INUM: "uts_namespace.ns.inum";
            required UTSNS_NODENAME: "uts_namespace.name.nodename";
            required CGROUP_ROOT: "cgroup.root";
            required CGROUP_ROOT_HIERARCHY: "cgroup_root.hierarchy_id";
            required TASK_STATE: "task_struct.__state", "task_struct.state";
            optional SIGNAL_WAITERS: "signal_struct.wait_chldexit.head.next";
            optional TASK_PARENT_EXEC_ID: "task_struct.parent_exec_id";
            optional TASK_SELF_EXEC_ID: "task_struct.self_exec_id";
            bit SIGNAL_IS_SUBREAPER: "signal_struct.is_child_subreaper";
            optional TASK_RUN_DELAY: "task_struct.sched_info.run_delay";
            optional TASK_STACK: "task_struct.stack";
            required PT_REGS_SYSCALL: "pt_regs.orig_ax", "pt_regs.syscallno";
            required PT_REGS_RESULT: "pt_regs.ax", "pt_regs.regs";
            optional PT_REGS_CODE_SEGMENT: "pt_regs.cs";
            optional PT_REGS_FIRST_ARGUMENT: "pt_regs.orig_x0";
            optional PT_REGS_PSTATE: "pt_regs.pstate";
            optional IO_KIOCB_OPCODE: "io_kiocb.opcode";
            optional IO_KIOCB_CMD: "io_kiocb.cmd";
            optional IO_WAITID_PID: "io_waitid.info.pid";
        }
    };
}

/// The same for the programs that copy stacks, which are an object of their own.
#[macro_export]
macro_rules! for_each_stack_offset {
    ($callback:ident) => {
        $callback! {
            required TASK_PID: "task_struct.pid";
            required TASK_TGID: "task_struct.tgid";
            required TASK_STATE: "task_struct.__state", "task_struct.state";
            required TASK_ON_CPU: "task_struct.on_cpu";
            required TASK_NVCSW: "task_struct.nvcsw";
            required TASK_NIVCSW: "task_struct.nivcsw";
            required TASK_RUN: "task_struct.se.sum_exec_runtime";
            optional TASK_RUN_DELAY: "task_struct.sched_info.run_delay";
            required TASK_START_BOOTTIME: "task_struct.start_boottime", "task_struct.real_start_time";
            required TASK_MM: "task_struct.mm";
            required MM_MAP_COUNT: "mm_struct.map_count";
            required MM_TOTAL_VM: "mm_struct.total_vm";
            required MM_EXEC_VM: "mm_struct.exec_vm";
        }
    };
}

/// The value of an offset global whose field this kernel does not have.
pub const MISSING: u32 = u32::MAX;
