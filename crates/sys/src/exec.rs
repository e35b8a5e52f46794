//! Becoming another program.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Strings as the kernel takes them: an array of pointers that ends with null.
#[derive(Debug)]
pub(crate) struct CStrings<'a> {
    pointers: Vec<*const libc::c_char>,
    _strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> CStrings<'a> {
    pub(crate) fn new(strings: &'a [CString]) -> Self {
        let end = std::iter::once(std::ptr::null());
        let pointers = strings.iter().map(|text| text.as_ptr()).chain(end).collect();
        Self { pointers, _strings: std::marker::PhantomData }
    }

    pub(crate) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Becomes the program at `path`; comes back only with the reason why not.
#[must_use]
pub fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let (arguments, environment) = (CStrings::new(arguments), CStrings::new(environment));
    // SAFETY: the path is a C string; both arrays are of pointers to C strings and end with null (`CStrings`), and they
    // borrow what they point to until after the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program that is open as `program`.
#[must_use]
pub fn fexecve(program: impl AsFd, arguments: &[CString], environment: &[CString]) -> io::Error {
    let (arguments, environment) = (CStrings::new(arguments), CStrings::new(environment));
    // SAFETY: as in `execve`; the descriptor is borrowed, therefore open, and the empty path is a C string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}
