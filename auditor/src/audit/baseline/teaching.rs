//! What may be learned, live and by `auditor policy suggest`.

use crate::event::{Finding, Process, Severity};

/// Whether what somebody did may be learned: nothing counts against it, and nobody doubts who it was.
#[must_use]
pub fn teaches<'f>(
    findings: impl IntoIterator<Item = &'f Finding>,
    undetermined: &[String],
) -> bool {
    let counts = |f: &Finding| f.exempted_by.is_none() && f.severity > Severity::Info;
    let doubted = |lacking: &String| matches!(lacking.as_str(), "namespaces" | "process");
    !findings.into_iter().any(counts) && !undetermined.iter().any(doubted)
}

/// The path of a program that the ServiceAccount's workload may be running; null for what is another finding: a program that is
/// certainly not of the image, and a process that came from outside the container.
#[must_use]
pub fn judged_program(process: &Process) -> Option<&str> {
    image_program(process).filter(|_| !is_from_outside(process))
}

/// The path of a program that may be learned.
#[must_use]
pub fn learnable_program(process: &Process) -> Option<&str> {
    listable_program(process).filter(|_| !is_from_outside(process))
}

/// `kubectl exec`, or an exec probe.
#[must_use]
pub fn is_from_outside(process: &Process) -> bool {
    process.exec_session == Some(true)
}

/// The path of a program that may be listed. One that stands for several files may not (cut, or its bytes no UTF-8), and one that
/// nobody could read in a list neither; they are new, as whatever was not learned: a name is no way out.
#[must_use]
pub fn listable_program(process: &Process) -> Option<&str> {
    image_program(process).filter(|path| {
        let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        path.starts_with('/') && !path.contains(is_odd)
    })
}

fn image_program(process: &Process) -> Option<&str> {
    let path = process.exe.as_deref()?;
    // The kernel half has a path begin with `…/` where it could not write it whole.
    let is_path = path.starts_with('/') || path.starts_with('…');
    let may_be_of_image = !process.exe_unlinked && process.exe_upper_layer != Some(true);
    (is_path && may_be_of_image).then_some(path)
}
