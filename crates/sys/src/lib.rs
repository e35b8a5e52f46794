//! Safe wrappers of the Linux system calls that barge is made of.
