//! Memory: what was freed goes back to the machine.

/// Gives the memory that this process has freed back to the system.
///
/// The allocator keeps freed memory for the next request, in each thread's own pool; after something
/// large was let go, a box at rest would go on looking as large as it was at work.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "a call of the C library that takes no pointer")]
        // What it answers is whether there was anything to give.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
