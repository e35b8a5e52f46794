//! The local clock: how far it is from UTC.

/// Seconds east of UTC at a moment (seconds since 1970), by `/etc/localtime` or `TZ`; 0 when that
/// is not known.
#[must_use]
pub fn utc_offset(second: i64) -> i64 {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to variables of this function; localtime_r(3) writes the second and
    // keeps neither. It reads TZ, which nobody in this workspace writes.
    let filled = unsafe { libc::localtime_r(&raw const second, parts.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: localtime_r did not fail, so it has written all of it.
    let parts = unsafe { parts.assume_init() };
    parts.tm_gmtoff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_less_than_a_day_and_the_same_each_time() {
        for second in [0, 1_709_251_199, 4_102_444_799] {
            let offset = utc_offset(second);
            assert!(offset.abs() < 86_400, "{offset}");
            assert_eq!(utc_offset(second), offset);
        }
    }
}
