//! Log lines through aya-log, with the feature `log` only: each costs some 60 ns and a second ring buffer.

/// Tells of a match at debug level.
macro_rules! log_match {
    ($ctx:expr, $matched:expr, $text:literal) => {{
        #[cfg(feature = "log")]
        if $matched {
            aya_log_ebpf::debug!($ctx, $text);
        }
        #[cfg(not(feature = "log"))]
        let _ = ($ctx, $matched);
    }};
}
pub(crate) use log_match;
