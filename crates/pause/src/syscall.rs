//! The four system calls of an init, by number.

use core::arch::asm;

pub const SIGINT: usize = 2;
pub const SIGTERM: usize = 15;
pub const SIGCHLD: usize = 17;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const EXIT_GROUP: usize = 94;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
}

const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;

/// Keeps the signals of the set pending instead of delivering them.
pub fn block(set: u64) {
    // SAFETY: the kernel reads eight bytes of `set` and writes nothing.
    unsafe { call(number::RT_SIGPROCMASK, [SIG_BLOCK, &raw const set as usize, 0, size_of::<u64>()]) };
}

/// Waits for a signal of the set, and returns its number (or nonsense when interrupted).
pub fn wait_for(set: u64) -> usize {
    // SAFETY: the kernel reads eight bytes of `set`; no information and no time limit are asked for.
    unsafe { call(number::RT_SIGTIMEDWAIT, [&raw const set as usize, 0, 0, size_of::<u64>()]) as usize }
}

/// Reaps one dead child; false when there is none.
pub fn reap() -> bool {
    // SAFETY: neither a status nor usage is asked for, so nothing is written.
    unsafe { call(number::WAIT4, [usize::MAX, 0, WNOHANG, 0]) > 0 }
}

/// Ends the process.
pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: touches no memory, and does not return.
        unsafe { call(number::EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, args: [usize; 4]) -> isize {
    let result;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11; what the pointers among `args` need is the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, args: [usize; 4]) -> isize {
    let result;
    // SAFETY: the kernel keeps all registers but x0; what the pointers among `args` need is the caller's.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            options(nostack),
        );
    }
    result
}
