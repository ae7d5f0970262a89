//! Parents whose source shows why their zombie lingers, and what must be said.

use super::program::Program::{
    self, Bash, C, Dash, Go, Java, Node, Perl, Php, Python, Ruby, Tokio,
};

/// A program, and what must be said of the zombie that it leaves.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) program: Program,
    /// It is PID 1 of a pid namespace of its own.
    pub(super) is_init: bool,
    /// In a run.
    pub(super) cause: &'static str,
    /// In `ps` and `inspect`, which have no history; `None` if the same.
    pub(super) at_one_look: Option<&'static str>,
    pub(super) runtime: &'static str,
    pub(super) finding: &'static str,
    /// Part of the advice.
    pub(super) advice: &'static str,
    pub(super) foreign: Option<bool>,
}

const fn case(name: &'static str, program: Program) -> Case {
    Case {
        name,
        program,
        is_init: false,
        cause: "never-waits",
        at_one_look: None,
        runtime: "c",
        finding: "is not waiting now",
        advice: "",
        foreign: Some(false),
    }
}

impl Case {
    const fn init(mut self) -> Self {
        self.is_init = true;
        self.cause = "init-never-waits";
        self.finding =
            "is PID 1 of its pid namespace, to which orphans go, and has inherited this one";
        self.advice = "tini";
        self.foreign = Some(true);
        self
    }

    const fn says(mut self, cause: &'static str, finding: &'static str) -> Self {
        self.cause = cause;
        self.finding = finding;
        self
    }

    const fn at_one_look(mut self, cause: &'static str) -> Self {
        self.at_one_look = Some(cause);
        self
    }

    const fn advises(mut self, runtime: &'static str, advice: &'static str) -> Self {
        self.runtime = runtime;
        self.advice = advice;
        self
    }

    const fn foreign(mut self) -> Self {
        self.foreign = Some(true);
        self
    }
}

const GO_WAITS: &str = "a Go program, which reaps a child only when Wait() is called for it";

pub(super) const CASES: &[Case] = &[
    // Go reaps nothing that nobody waits for.
    case(
        "go-start-without-wait",
        Go(r#"package main
import ("os/exec"; "time")
func main() { exec.Command("true").Start(); time.Sleep(time.Hour) }"#),
    )
    .says("never-waits", GO_WAITS)
    .advises("go", "go cmd.Wait()"),
    case(
        "go-ten-deaths-while-stopped",
        Go(r#"package main
import ("os"; "os/exec"; "syscall"; "time")
func main() {
    exec.Command("sh", "-c", "sleep 1; kill -CONT $PPID; exec sleep 600").Start()
    for i := 0; i < 10; i++ { exec.Command("sleep", "0.2").Start() }
    syscall.Kill(os.Getpid(), syscall.SIGSTOP)
    time.Sleep(time.Hour)
}"#),
    )
    .says("never-waits", GO_WAITS)
    .advises("go", "go cmd.Wait()"),
    case(
        "go-waits-for-its-own-in-another-goroutine",
        Go(r#"package main
import ("os/exec"; "time")
func main() { exec.Command("true").Start(); go exec.Command("sleep", "600").Run(); time.Sleep(time.Hour) }"#),
    )
    .says("never-waits", GO_WAITS)
    .advises("go", "go cmd.Wait()"),
    case(
        "go-leaks-one-among-many",
        Go(r#"package main
import ("os/exec"; "time")
func main() {
    exec.Command("true").Start()
    for { exec.Command("true").Run(); time.Sleep(200 * time.Millisecond) }
}"#),
    )
    .says("never-waits", "although it has reaped")
    .advises("go", "go cmd.Wait()"),
    case(
        "go-as-init",
        Go(r#"package main
import ("os/exec"; "time")
func main() {
    exec.Command("sh", "-c", "sleep 0.2 & exit").Run()
    go exec.Command("sleep", "600").Run()
    time.Sleep(time.Hour)
}"#),
    )
    .init()
    .advises("go", "tini"),
    case(
        "java-as-init",
        Java(r#"public class Main { public static void main(String[] args) throws Exception {
    new ProcessBuilder("sh", "-c", "sleep 0.2 & exit").inheritIO().start().waitFor();
    new ProcessBuilder("sleep", "600").inheritIO().start();
    Thread.sleep(600000);
} }"#),
    )
    .init()
    .advises("java", "tini"),
    case(
        "java-stopped-by-its-child",
        Java(r#"public class Main { public static void main(String[] args) throws Exception {
    new ProcessBuilder("sh", "-c", "kill -STOP $PPID").start();
    Thread.sleep(600000);
} }"#),
    )
    .says("parent-stopped", "is stopped (state T)")
    .advises("java", "kill -CONT "),
    case(
        "node-as-init",
        Node(
            "const {spawn, spawnSync} = require('child_process'); \
             spawnSync('sh', ['-c', 'sleep 0.2 & exit']); spawn('sleep', ['600']); setInterval(() => {}, 1000)",
        ),
    )
    .init()
    .advises("node", "tini"),
    case(
        "node-after-exec",
        // Before it is another program, the shell reaps.
        Bash(
            "(until read name </proc/$$/comm; [ \"$name\" != bash ]; do sleep 0.1; done) & \
             exec node -e 'setInterval(() => {}, 1000)'",
        ),
    )
    .says("foreign-child", "did not make it")
    .at_one_look("never-waits")
    .advises("node", "instead of exec")
    .foreign(),
    case(
        "node-is-busy",
        Node("require('child_process').spawn('true'); for (;;);"),
    )
    .says("parent-busy", "reaps in its event loop, which is busy now")
    .advises("node", "worker thread"),
    case(
        "node-sleeps-outside-of-its-event-loop",
        Node(
            "setTimeout(() => { \
             require('child_process').spawn('true', [], {stdio: 'ignore', detached: true}).unref(); \
             Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) }, 0)",
        ),
    )
    .says("never-waits", "event loop reaps what child_process started, and is not running now")
    .advises("node", "Atomics.wait"),
    case(
        "php-without-dispatch",
        Php("pcntl_signal(SIGCHLD, function () { pcntl_wait($status, WNOHANG); }); \
             if (pcntl_fork() == 0) exit; for (;;) sleep(600);"),
    )
    .says("handler-leaves-it", "which PHP only runs when signals are dispatched")
    .advises("php", "pcntl_async_signals(true)"),
    case(
        "php-without-proc-close",
        Php("$process = proc_open(['true'], [], $pipes); for (;;) sleep(600);"),
    )
    .advises("php", "proc_close()"),
    case("php-shell-exec", Php("shell_exec('sleep 600 2> /dev/null & true');"))
        .says("parent-reads-pipe", "whose other end process ")
        .advises("php", "write end"),
    case("ruby-without-wait", Ruby("fork { exit }; sleep"))
        .says("never-waits", "no thread is waiting for this one")
        .advises("ruby", "Process.detach(pid)"),
    case(
        "ruby-detach-whose-thread-is-killed",
        Ruby("pid = fork { sleep 0.3 }; thread = Process.detach(pid); thread.kill; thread.join; sleep"),
    )
    .says("never-waits", "no thread is waiting for this one")
    .advises("ruby", "Process.detach(pid)"),
    case("ruby-backtick", Ruby("`sleep 600 2> /dev/null & true`"))
        .says("parent-reads-pipe", "whose other end process ")
        .advises("ruby", "write end"),
    case(
        "python-without-wait",
        Python("import subprocess, time; child = subprocess.Popen(['true']); time.sleep(600)"),
    )
    .says("never-waits", "has reaped no child in the ")
    .advises("python", "Popen"),
    case(
        "python-unjoined-process",
        Python(
            "import multiprocessing, time\nmultiprocessing.set_start_method('fork')\n\
             child = multiprocessing.Process(target=int)\nchild.start()\ntime.sleep(600)",
        ),
    )
    .says("never-waits", "has reaped no child in the ")
    .advises("python", "join() on a multiprocessing Process"),
    case(
        "python-leaks-one-among-many",
        Python(
            "import subprocess, time\nleaked = subprocess.Popen(['true'])\nwhile True:\n  \
             subprocess.run(['true'])\n  time.sleep(0.2)",
        ),
    )
    .says("never-waits", "although it has reaped")
    .advises("python", "Popen"),
    case(
        "python-reaps-each-second",
        Python("import os, time\nwhile True:\n  if os.fork() == 0: os._exit(0)\n  time.sleep(1)\n  os.wait()"),
    )
    .says("reaps-late", "every 1.")
    .at_one_look("never-waits")
    .advises("python", "Popen"),
    case(
        "python-polls-two-children-each-second",
        Python(
            "import subprocess, time\nwhile True:\n  children = [subprocess.Popen(['true']) for _ in \
             range(2)]\n  time.sleep(1)\n  for child in children: child.poll()\n  time.sleep(0.3)",
        ),
    )
    .says("reaps-late", "2.0 children each time")
    .at_one_look("never-waits")
    .advises("python", "Popen"),
    case(
        "python-reaps-when-it-starts-the-next",
        Python("import subprocess, time\nwhile True:\n  subprocess.Popen(['true'])\n  time.sleep(1)"),
    )
    .says("reaps-late", " on average, just before it starts the next child")
    .at_one_look("never-waits")
    .advises("python", "Popen"),
    case(
        "python-in-system",
        Python("import os\nif os.fork() == 0: os._exit(0)\nos.system('exec sleep 60 > /dev/null 2>&1')"),
    )
    .says("waits-for-other", "is in system(), which holds SIGCHLD back until its command, process ")
    .advises("python", "subprocess.Popen"),
    case(
        "python-reads-to-the-end",
        Python(
            "import os, time\nread, write = os.pipe()\nif os.fork() == 0:\n  if os.fork() == 0:\n    \
             os.closerange(0, 3)\n    time.sleep(60)\n  os._exit(0)\nos.close(write)\nos.read(read, 1)",
        ),
    )
    .says("parent-reads-pipe", "whose other end process ")
    .advises("python", "write end"),
    case(
        "python-communicates",
        Python(
            "import subprocess\nsubprocess.run('sleep 600 & true', shell=True, \
             stdout=subprocess.PIPE, stderr=subprocess.PIPE)",
        ),
    )
    .says("parent-reads-pipe", "whose other end process ")
    .advises("python", "write end"),
    case(
        "python-holds-a-pidfd",
        Python(
            "import os, time\nchild = os.fork()\nif child == 0: os._exit(0)\nfd = \
             os.pidfd_open(child)\ntime.sleep(600)",
        ),
    )
    .says("holds-pidfd", "holds a pidfd of it")
    .advises("python", "asyncio"),
    case(
        "python-asyncio-loop-is-stopped",
        Python(
            "import asyncio, os, sys, time\n\
             async def main():\n  \
             if sys.version_info < (3, 12):\n    \
             watcher = asyncio.PidfdChildWatcher()\n    \
             watcher.attach_loop(asyncio.get_running_loop())\n    \
             asyncio.set_child_watcher(watcher)\n  \
             read, write = os.pipe()\n  \
             child = await asyncio.create_subprocess_exec('cat', stdin=read)\n  \
             os.close(write)\n  \
             time.sleep(600)\n\
             asyncio.run(main())",
        ),
    )
    .says("holds-pidfd", "holds a pidfd of it, but is not waiting by it now")
    .advises("python", "while its loop runs"),
    case(
        "python-spawns-and-hangs-before-exec",
        Python(
            "import os, tempfile\nif os.fork() == 0: os._exit(0)\n\
             fifo = tempfile.mkdtemp() + '/fifo'\nos.mkfifo(fifo)\n\
             os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, 1), \
             (os.POSIX_SPAWN_CLOSE, 2), (os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)])",
        ),
    )
    .says("parent-in-vfork", "waits in vfork until its new child, process ")
    .advises("python", "exec"),
    case(
        "python-reads-one-siginfo",
        Python(
            "import ctypes, os, signal, time\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n\
             mask = (ctypes.c_ulong * 16)(1 << (signal.SIGCHLD - 1))\n\
             fd = ctypes.CDLL(None).signalfd(-1, mask, 0)\n\
             children = [os.fork() or os._exit(0) for _ in range(2)]\n\
             for child in children: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n\
             os.read(fd, 128)\nos.wait()\ntime.sleep(600)",
        ),
    )
    .says("signalfd-leaves-it", "takes SIGCHLD by a signalfd, where it is not pending any more")
    .advises("python", "by its pid"),
    case(
        "python-reads-a-pseudoterminal",
        Python(
            "import os, pty\nparent = os.getpid()\nchild, fd = pty.fork()\n\
             if child == 0:\n  os.execvp('sh', ['sh', '-c', f'trap \"\" HUP; while kill -0 {parent}; \
             do sleep 1; done & sleep 0.3'])\n\
             while True: os.read(fd, 100)",
        ),
    )
    .says("parent-reads-pipe", "is reading a pseudoterminal (descriptor ")
    .advises("python", "hold the pseudoterminal open"),
    case(
        "python-reads-a-pipe-in-a-thread",
        Python(
            "import subprocess, threading\n\
             run = lambda: subprocess.run('sleep 600 2> /dev/null & true', shell=True, \
             stdout=subprocess.PIPE)\n\
             thread = threading.Thread(target=run)\nthread.start()\nthread.join()",
        ),
    )
    .says("parent-reads-pipe", " reading a pipe (descriptor ")
    .advises("python", "write end"),
    case(
        "python-main-thread-waits-for-another",
        Python(
            "import subprocess, threading, time\n\
             threading.Thread(target=time.sleep, args=[600], daemon=True).start()\n\
             leaked = subprocess.Popen(['true'])\n\
             subprocess.run(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
        ),
    )
    .says("never-waits", "is not waiting for it now")
    .advises("python", "Popen"),
    case(
        "python-queue-of-a-dead-worker",
        Python(
            "import multiprocessing, os, time\nmultiprocessing.set_start_method('fork')\n\
             queue = multiprocessing.Queue()\n\
             def work(): os.closerange(1, 3); time.sleep(600)\n\
             multiprocessing.Process(target=os._exit, args=[1]).start()\n\
             multiprocessing.Process(target=work).start()\nqueue.get()",
        ),
    )
    .says("never-waits", "has reaped no child in the ")
    .advises("python", "join() on a multiprocessing Process"),
    case("perl-without-wait", Perl("exit 0 unless fork; sleep 600"))
        .advises("perl", "waitpid(-1, WNOHANG)"),
    case(
        "perl-reaps-one-each-time",
        Perl("while (1) { for (1..3) { fork or exit } waitpid(-1, 1); select undef, undef, undef, 0.5 }"),
    )
    .says("reaps-late", "reaps one child every ")
    .at_one_look("never-waits")
    .advises("perl", "until it returns 0 or -1"),
    case(
        "perl-with-an-inherited-mask",
        Python(
            "import signal, subprocess, sys\n\
             # Then run() kills perl.\n\
             signal.signal(signal.SIGTERM, lambda *ignored: sys.exit(1))\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n\
             subprocess.run(['perl', '-e', '$SIG{CHLD} = sub { 1 while waitpid(-1, 1) > 0 }; \
             fork or exit; sleep 600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
        ),
    )
    .says("blocks-sigchld", ", its own parent, blocks it too: the mask may be inherited")
    .advises("perl", "unblock SIGCHLD"),
    case(
        "perl-waits-in-a-namespace",
        Perl("fork or exec 'sleep', 600; fork or exit; exec 'sleep', 600 unless my $pid = fork; \
              waitpid $pid, 0"),
    )
    .says("waits-for-other", "of its own pid namespace alone")
    .at_one_look("init-never-waits")
    .advises("perl", "waitpid(-1, WNOHANG)"),
    case("sleep-after-process-substitution", Bash("exec 3< <(until read name </proc/$$/comm; [ \"$name\" = sleep ]; do sleep 0.1; done); \
              exec sleep 600"))
        .says("foreign-child", "did not make it")
        .at_one_look("never-waits")
        .advises("c", "harmless unless such zombies pile up")
        .foreign(),
    case(
        "dash-reads-a-line",
        Dash("fifo=$(mktemp -u); mkfifo $fifo; sleep 0.2 & read line <> $fifo"),
    )
    .says("handler-leaves-it", "is a shell, which reaps background jobs when it waits for a command")
    .advises("shell", "call wait"),
    case("rust-tokio-is-not-driven", Tokio)
        .says("holds-pidfd", "holds a pidfd of it, but is not waiting by it now: it sleeps in ")
        .advises("rust", "with tokio, keep the Child, await child.wait()"),
    case(
        "c-main-thread-ends",
        C(r"#include <pthread.h>
#include <unistd.h>
void *run(void *unused) { sleep(600); return 0; }
int main() {
    if (!fork()) { close(1); close(2); pthread_t thread; pthread_create(&thread, 0, run, 0); pthread_exit(0); }
    sleep(600);
}"),
    )
    .says("leader-with-threads", "its main thread has ended, but 1 thread lives on")
    .advises("c", "exit_group"),
    case(
        "python-worker-outlives-the-main-thread",
        // Without a name, the Popen would be dropped, and reap a child that has ended by then.
        Python(
            "import ctypes, subprocess, threading, time\n\
             started = threading.Event()\n\
             def work(): child = subprocess.Popen(['true']); started.set(); time.sleep(600)\n\
             threading.Thread(target=work).start()\n\
             started.wait()\n\
             ctypes.CDLL(None).pthread_exit(None)",
        ),
    )
    .says("never-waits", "does not handle SIGCHLD and is not waiting now")
    .advises("python", "Popen"),
    case(
        "c-selects-a-pipe-of-a-grandchild",
        C(r#"#include <sys/select.h>
#include <unistd.h>
int main() {
    int fds[2]; pipe(fds);
    if (!fork()) { if (!fork()) { close(1); close(2); sleep(600); } _exit(0); }
    close(fds[1]);
    fd_set set; FD_ZERO(&set); FD_SET(fds[0], &set);
    return select(fds[0] + 1, &set, 0, 0, 0);
}"#),
    )
    .says("parent-reads-pipe", "is reading a pipe (descriptor ")
    .advises("c", "write end"),
    case(
        "c-signalfd-without-a-mask",
        C(r"#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
int main() {
    sigset_t set; sigemptyset(&set); sigaddset(&set, SIGCHLD);
    int fd = signalfd(-1, &set, 0);
    if (!fork()) _exit(0);
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info);
}"),
    )
    .says("never-waits", "has a signalfd for SIGCHLD, which gets none as no thread blocks SIGCHLD")
    .advises("c", "block SIGCHLD (sigprocmask)"),
    case(
        "c-handler-hangs-in-one-thread",
        C(r"#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
void reap(int signal) { pthread_mutex_lock(&lock); while (waitpid(-1, 0, WNOHANG) > 0); }
void *run(void *unused) { for (;;) pause(); }
int main() {
    signal(SIGCHLD, reap); pthread_mutex_lock(&lock);
    pthread_t thread; pthread_create(&thread, 0, run, 0);
    if (!fork()) { usleep(200000); _exit(0); }
    for (;;) pause();
}"),
    )
    .says("handler-leaves-it", "handles SIGCHLD")
    .advises("c", "in the handler"),
    case(
        "c-handler-in-system",
        C(r#"#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main() {
    signal(SIGCHLD, reap);
    /* It ends once its parent holds SIGCHLD back. */
    if (!fork()) execlp("sh", "sh", "-c", "exec > /dev/null 2>&1; \
        until grep -q '^SigBlk:.*[13579bdf]....$' /proc/$PPID/status; do sleep 0.05; done", (char *)0);
    return system("exec sleep 600 > /dev/null 2>&1");
}"#),
    )
    .says("waits-for-other", "is in system(), which holds SIGCHLD back until its command, process ")
    .advises("c", "do not run a long command by system()"),
    case(
        "c-handler-reaps-one",
        C(r"#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
void reap(int signal) { waitpid(-1, 0, WNOHANG); usleep(200000); }
int main() {
    /* All of them end before it runs. */
    sigset_t set; sigemptyset(&set); sigaddset(&set, SIGCHLD); sigprocmask(SIG_BLOCK, &set, 0);
    signal(SIGCHLD, reap);
    siginfo_t info;
    for (int i = 0; i < 5; i++) { int pid = fork(); if (!pid) _exit(0); waitid(P_PID, pid, &info, WEXITED | WNOWAIT); }
    sigprocmask(SIG_UNBLOCK, &set, 0);
    for (;;) pause();
}"),
    )
    .says("signals-coalesced", " for 5 deaths, and has reaped ")
    .at_one_look("handler-leaves-it")
    .advises("c", "waitpid(-1, …, WNOHANG) in a loop"),
    case(
        "c-handler-waits-for-a-lock",
        C(r"#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
void reap(int signal) { pthread_mutex_lock(&lock); while (waitpid(-1, 0, WNOHANG) > 0); pthread_mutex_unlock(&lock); }
int main() { signal(SIGCHLD, reap); pthread_mutex_lock(&lock); if (!fork()) { usleep(200000); _exit(0); } for (;;) pause(); }"),
    )
    .says("handler-leaves-it", "which may be running still (all threads block SIGCHLD, as they do in it)")
    .advises("c", "waitpid"),
    case(
        "c-reaps-one-after-sigwait",
        C(r"#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
sigset_t set;
void *run(void *unused) { int signal; for (;;) { sigwait(&set, &signal); waitpid(-1, 0, WNOHANG); } }
int main() {
    sigemptyset(&set); sigaddset(&set, SIGCHLD); sigprocmask(SIG_BLOCK, &set, 0);
    siginfo_t info;
    for (int i = 0; i < 4; i++) { int pid = fork(); if (!pid) _exit(0); waitid(P_PID, pid, &info, WEXITED | WNOWAIT); }
    pthread_t thread; pthread_create(&thread, 0, run, 0); pause();
}"),
    )
    .says("signalfd-leaves-it", "takes SIGCHLD by sigwait (thread ")
    .advises("c", "(or sigwait) call waitpid(-1"),
];
