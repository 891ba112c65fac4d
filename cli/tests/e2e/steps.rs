//! Follows processes from one step to the next, and kills one before the step that is asked for (ptrace(2)).
//!
//! A step is every system call but those that are known to change nothing for others: what is new in the code is a step too,
//! and cannot be forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whose steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Daemon,
    Netd,
    Shim,
}

/// How many steps each has made.
pub type Steps = BTreeMap<Who, u64>;

/// What becomes of a command while processes are followed.
pub struct Followed {
    pub steps: Steps,
    /// The system call before which the victim was killed.
    pub struck: Option<i64>,
}

/// What changes nothing that another process, or a successor, could see.
const HARMLESS: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_access,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_lgetxattr,
    libc::SYS_llistxattr,
    libc::SYS_lseek,
    libc::SYS_lstat,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pidfd_open,
    libc::SYS_pipe2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_read,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_stat,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// What PTRACE_GET_SYSCALL_INFO tells at the entry of a system call.
#[repr(C)]
#[derive(Default)]
struct Entry {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    args: [u64; 6],
    rest: [u64; 2],
}

/// Both kinds of stops of ptrace(2) that the crate `libc` does not name.
const AT_ENTRY: u8 = 1;
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

fn ptrace(request: libc::c_uint, thread: i32, address: usize, data: usize) -> i64 {
    // SAFETY: the requests of this module write nowhere but into an `Entry`, by `entry`, whose size it tells.
    unsafe { libc::ptrace(request, thread, address, data) }
}

fn entry(thread: i32) -> Option<Entry> {
    let mut entry = Entry::default();
    let length = ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size_of::<Entry>(), (&raw mut entry) as usize);
    (length > 0 && entry.op == AT_ENTRY).then_some(entry)
}

/// Whether others could see what comes of it.
fn is_step(process: i32, thread: i32, call: &Entry) -> bool {
    let number = call.number.cast_signed();
    let makes = |flags: u64| flags & (libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64 != 0;
    match number {
        libc::SYS_open => makes(call.args[1]),
        libc::SYS_openat => makes(call.args[2]),
        libc::SYS_openat2 => makes(ptrace(libc::PTRACE_PEEKDATA, thread, call.args[2] as usize, 0).cast_unsigned()),
        libc::SYS_clone => call.args[0] & libc::CLONE_THREAD as u64 == 0,
        libc::SYS_write => {
            // Its log, and the way of its threads to wake each other.
            let path = fs::read_link(format!("/proc/{process}/fd/{}", call.args[0])).unwrap_or_default();
            call.args[0] != 2 && !path.to_string_lossy().contains("[eventfd]")
        }
        number => !HARMLESS.contains(&number),
    }
}

/// The thread, status and code of a change of those that this thread follows, if there is one now.
fn wait(kind: libc::idtype_t, thread: i32, changes: i32) -> Option<(i32, i32, i32)> {
    let flags = changes | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: all of a siginfo_t may be zero, and waitid(2) writes no more than one; it fills in what is read of it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let done = libc::waitid(kind, thread.cast_unsigned(), &raw mut info, flags);
        (done == 0 && info.si_pid() != 0).then(|| (info.si_pid(), info.si_status(), info.si_code))
    }
}

struct Follower {
    /// Whose each thread is, and its process.
    threads: BTreeMap<i32, (Who, i32)>,
    steps: Steps,
    strike: Option<(Who, u64)>,
    struck: Option<i64>,
}

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC;

impl Follower {
    /// Follows every thread of a process.
    fn seize(&mut self, who: Who, process: i32) {
        loop {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok());
            let new: Vec<i32> = threads.filter(|thread| !self.threads.contains_key(thread)).collect();
            if new.is_empty() {
                return;
            }
            for thread in new {
                self.threads.insert(thread, (who, process));
                let options = if who == Who::Shim { libc::PTRACE_O_TRACESYSGOOD } else { OPTIONS };
                ptrace(libc::PTRACE_SEIZE, thread, 0, options as usize);
                ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0);
            }
        }
    }

    /// The next stop of any thread, if there is one.
    fn next(&self) -> Option<(i32, i32)> {
        wait(libc::P_ALL, 0, libc::WSTOPPED).map(|(thread, status, _)| (thread, status))
    }

    /// Leaves shims that have ended to their parent, which waits for that.
    fn let_go_of_ended(&mut self) {
        let has_ended = |thread: i32| {
            // Stops are told whatever is asked for, and must not be taken here.
            let seen = wait(libc::P_PID, thread, libc::WEXITED | libc::WNOWAIT);
            seen.is_some_and(|(_, _, code)| matches!(code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED))
        };
        let shims = self.threads.iter().filter(|(_, (who, _))| *who == Who::Shim).map(|(thread, _)| *thread);
        let ended: Vec<i32> = shims.filter(|thread| has_ended(*thread)).collect();
        for thread in ended {
            wait(libc::P_PID, thread, libc::WEXITED);
            self.threads.remove(&thread);
        }
    }

    /// Goes on after a stop; `false`: the victim was killed.
    fn resume(&mut self, thread: i32, status: i32) -> bool {
        let (event, signal) = (status >> 8, status & 0xff);
        let Some((who, process)) = self.threads.get(&thread).copied() else {
            self.meet(thread, event);
            return true;
        };
        if signal == SYSCALL_STOP
            && let Some(call) = entry(thread)
            && is_step(process, thread, &call)
        {
            let made = self.steps.entry(who).or_default();
            *made += 1;
            if self.strike == Some((who, *made)) {
                self.struck = Some(call.number.cast_signed());
                // SAFETY: a signal to a process of the test's own.
                unsafe { libc::kill(process, libc::SIGKILL) };
                return false;
            }
        }
        let passed_on = if event == 0 && signal != SYSCALL_STOP { signal } else { 0 };
        ptrace(libc::PTRACE_SYSCALL, thread, 0, passed_on as usize);
        true
    }

    /// A thread or process that one of those that are followed has made.
    fn meet(&mut self, thread: i32, event: i32) {
        let process = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        let process = process.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        let known = self.threads.values().find(|(_, other)| Some(*other) == process).copied();
        if let Some(known) = known {
            self.threads.insert(thread, known);
            ptrace(libc::PTRACE_SYSCALL, thread, 0, 0);
        } else if event != libc::PTRACE_EVENT_EXEC {
            // Until it is a program of its own.
            ptrace(libc::PTRACE_CONT, thread, 0, 0);
        } else if fs::read_to_string(format!("/proc/{thread}/cmdline")).is_ok_and(|line| line.contains("--bundle")) {
            ptrace(libc::PTRACE_SETOPTIONS, thread, 0, libc::PTRACE_O_TRACESYSGOOD as usize);
            self.threads.insert(thread, (Who::Shim, thread));
            ptrace(libc::PTRACE_SYSCALL, thread, 0, 0);
        } else {
            ptrace(libc::PTRACE_DETACH, thread, 0, 0);
        }
    }
}

/// Runs a command and follows these processes, and the shims that they make, meanwhile. The one that is to be struck is killed
/// before the step of that number.
pub fn follow(mut command: Command, processes: &[(Who, i32)], strike: Option<(Who, u64)>) -> Followed {
    let (ended, seized) = (AtomicBool::new(false), Barrier::new(2));
    std::thread::scope(|scope| {
        // On a thread of its own, which lets go of all when it ends; that reaps nothing.
        let follower = scope.spawn(|| {
            let mut follower = Follower { threads: BTreeMap::new(), steps: Steps::new(), strike, struck: None };
            processes.iter().for_each(|(who, process)| follower.seize(*who, *process));
            seized.wait();
            let mut idle = 0;
            while !ended.load(Ordering::Acquire) {
                match follower.next() {
                    Some((thread, status)) => {
                        idle = 0;
                        if !follower.resume(thread, status) {
                            break;
                        }
                    }
                    None if idle < 64 => {
                        idle += 1;
                        std::thread::yield_now();
                    }
                    None => {
                        follower.let_go_of_ended();
                        std::thread::sleep(std::time::Duration::from_micros(200));
                    }
                }
            }
            Followed { steps: follower.steps, struck: follower.struck }
        });
        seized.wait();
        command.output().unwrap();
        ended.store(true, Ordering::Release);
        follower.join().unwrap()
    })
}
