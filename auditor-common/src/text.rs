//! Reading the wire format's byte buffers, however wrong the lengths beside them are.

/// The first `len` bytes of `buffer`.
pub fn prefix(buffer: &[u8], len: u32) -> &[u8] {
    buffer.get(..len as usize).unwrap_or(buffer)
}

/// Components that the kernel half wrote leaf first, each ended by NUL, in that order.
pub fn components(buffer: &[u8], len: u32) -> impl Iterator<Item = &[u8]> {
    prefix(buffer, len)
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
}

/// Bytes up to the first NUL.
pub fn until_nul(buffer: &[u8]) -> &[u8] {
    buffer.split(|byte| *byte == 0).next().unwrap_or_default()
}
