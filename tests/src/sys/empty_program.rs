//! The smallest BPF program there is, on the hooks that the auditor uses: what any program there costs. It is no part of the product.

use std::{
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result, bail};

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD: i64 = 5;
const BPF_RAW_TRACEPOINT_OPEN: i64 = 17;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;
const BPF_TRACE_FENTRY: u32 = 24;
/// `r0 = 0; exit`
const RETURN_ZERO: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

/// include/uapi/linux/btf.h
const BTF_KIND_TYPEDEF: u32 = 8;
const BTF_KIND_FUNC: u32 = 12;

/// Where it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook<'a> {
    Fentry(&'a str),
    /// A tracepoint with BTF.
    Tracepoint(&'a str),
}

/// An attached program; detached when dropped.
pub struct Empty {
    _program: OwnedFd,
    _link: OwnedFd,
}

/// The members of `union bpf_attr` for `BPF_PROG_LOAD`, to `attach_btf_id`.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// For `BPF_RAW_TRACEPOINT_OPEN`, to `prog_fd`.
#[repr(C)]
#[derive(Default)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

impl Empty {
    /// # Errors
    /// In the kernel's words where it refuses.
    pub fn attach(hook: Hook<'_>) -> Result<Self> {
        let btf = fs::read("/sys/kernel/btf/vmlinux").context("read /sys/kernel/btf/vmlinux")?;
        let (attach_btf_id, expected_attach_type) = match hook {
            Hook::Fentry(function) => (type_id(&btf, BTF_KIND_FUNC, function)?, BPF_TRACE_FENTRY),
            Hook::Tracepoint(name) => {
                let name = format!("btf_trace_{name}");
                (type_id(&btf, BTF_KIND_TYPEDEF, &name)?, BPF_TRACE_RAW_TP)
            }
        };
        let license = c"GPL";
        let load = ProgLoad {
            prog_type: BPF_PROG_TYPE_TRACING,
            insn_cnt: RETURN_ZERO.len() as u32,
            insns: RETURN_ZERO.as_ptr() as u64,
            license: license.as_ptr() as u64,
            expected_attach_type,
            attach_btf_id,
            ..ProgLoad::default()
        };
        let program = bpf(BPF_PROG_LOAD, &load).context("load the empty program")?;
        let open = RawTracepointOpen {
            prog_fd: program.as_raw_fd() as u32,
            ..RawTracepointOpen::default()
        };
        let link = bpf(BPF_RAW_TRACEPOINT_OPEN, &open).context("attach the empty program")?;
        Ok(Self {
            _program: program,
            _link: link,
        })
    }
}

fn bpf<T>(command: i64, attributes: &T) -> io::Result<OwnedFd> {
    let (at, size) = (std::ptr::from_ref(attributes), size_of::<T>());
    // SAFETY: the attributes are of that size, and what they point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, at, size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of a type by kind and name, from raw BTF (Documentation/bpf/btf.rst).
fn type_id(btf: &[u8], kind: u32, name: &str) -> Result<u32> {
    let word = |at: usize| -> Result<u32> {
        let bytes = btf.get(at..at + 4).context("BTF ends early")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    };
    // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len.
    let header = word(4)? as usize;
    let (types, length, strings) = (word(8)? as usize, word(12)? as usize, word(16)? as usize);
    let mut at = header + types;
    let end = at + length;
    let mut id = 1;
    while at < end {
        let (offset, info) = (word(at)? as usize, word(at + 4)?);
        let (found, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        if found == kind {
            let from = header + strings + offset;
            let rest = btf.get(from..).context("a name is outside of BTF")?;
            if rest
                .strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&0))
            {
                return Ok(id);
            }
        }
        at += 12 + trailing(found, count)?;
        id += 1;
    }
    bail!("this kernel's BTF has no {name}")
}

/// Bytes that follow a `struct btf_type`.
fn trailing(kind: u32, count: usize) -> Result<usize> {
    Ok(match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => 12 * count,
        // ENUM, FUNC_PROTO
        6 | 13 => 8 * count,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        other => bail!("BTF of a kind that is not known: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An int, a function's prototype with one parameter, a function and a typedef.
    fn btf() -> Vec<u8> {
        let strings = b"\0int\0open\0btf_trace_exit\0";
        let types: &[u32] = &[
            1,
            1 << 24,
            4,
            32, // int: one word more
            0,
            (13 << 24) | 1,
            0,
            0,
            1, // prototype: two words more
            5,
            12 << 24,
            2, // open
            10,
            8 << 24,
            1, // btf_trace_exit
        ];
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut btf = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            btf.extend((word as u32).to_ne_bytes());
        }
        btf.extend(types);
        btf.extend(strings);
        btf
    }

    #[test]
    fn types_are_found_by_kind_and_whole_name() {
        let find = |kind, name| type_id(&btf(), kind, name).ok();
        assert_eq!(find(BTF_KIND_FUNC, "open"), Some(3));
        assert_eq!(find(BTF_KIND_TYPEDEF, "btf_trace_exit"), Some(4));
        assert_eq!(find(BTF_KIND_FUNC, "ope"), None);
        assert_eq!(find(BTF_KIND_TYPEDEF, "open"), None);
        assert!(type_id(&btf()[..30], BTF_KIND_FUNC, "open").is_err());
    }
}
