//! The running program's own pages.
//!
//! A static program is mapped from its file in large steps, so that one which runs but for moments counts for all of its
//! text in memory. What is not written can be let go at any time: it is read again, from the page cache, when it is
//! needed.

use std::io;

use crate::check;

/// Lets go of every page of the program that cannot have been written: code and constants.
///
/// For processes that sleep for long: they begin the next turn with a few page faults.
pub fn forget_pages() -> io::Result<()> {
    let mut outcome = Ok(());
    let data = std::ptr::from_mut::<io::Result<()>>(&mut outcome).cast();
    // SAFETY: `forget` has the type that the function calls, does not unwind, and gets `data` back, which points to
    // `outcome` for as long as the call takes.
    unsafe { libc::dl_iterate_phdr(Some(forget), data) };
    outcome
}

/// Called for each object of the process; a static program is one.
unsafe extern "C" fn forget(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: `object` points to a description that is valid during this call (dl_iterate_phdr(3)).
    let object = unsafe { &*object };
    // SAFETY: `dlpi_phdr` points to `dlpi_phnum` program headers, which are mapped for as long as the object is.
    let headers =
        unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for header in headers {
        let is_constant = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
        let sizes =
            (usize::try_from(object.dlpi_addr + header.p_vaddr), usize::try_from(header.p_memsz));
        let (true, (Ok(start), Ok(length))) = (is_constant, sizes) else { continue };
        // The segment's pages are its own: the linker begins each segment of other rights on a new page.
        let first = start & !(PAGE - 1);
        let pages = std::ptr::with_exposed_provenance_mut(first);
        // SAFETY: the range is a mapping of the program's file that is never written (no PF_W), so dropping its pages
        // loses nothing: the next access maps the same bytes again, this function's own included.
        let result = unsafe { libc::madvise(pages, start + length - first, libc::MADV_DONTNEED) };
        if let Err(error) = check(libc::c_long::from(result)) {
            // SAFETY: `data` is the pointer that `forget_pages` handed over, to its own variable.
            unsafe { *data.cast::<io::Result<()>>() = Err(error) };
            return 1;
        }
    }
    0
}

/// Gives the kernel back what was freed and lies between what is in use (malloc_trim(3)): what a burst of work needed
/// would otherwise count for the process for ever.
pub fn release_freed_memory() {
    // SAFETY: it takes a number and touches the allocator's own memory only, under the allocator's locks. Its result
    // says whether anything was given back.
    unsafe { libc::malloc_trim(0) };
}

/// The smallest page of every architecture that we run on.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_goes_back_to_the_kernel() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
        };
        // Small pieces, of which a few stay: the heap cannot simply end lower.
        let mut pieces: Vec<Option<Vec<u8>>> = (0..64_000).map(|_| Some(vec![1; 1000])).collect();
        let full = resident();
        pieces.iter_mut().enumerate().filter(|(n, _)| n % 1000 != 0).for_each(|(_, p)| *p = None);
        release_freed_memory();
        assert!(resident() + (32 << 20) < full, "{} of {full}", resident());
    }

    static CONSTANT: &str = "still here";

    #[test]
    fn code_and_constants_are_there_afterwards() {
        for _ in 0..3 {
            forget_pages().unwrap();
            assert_eq!(CONSTANT, "still here");
        }
    }
}
