//! What exec sessions ran: an exec probe's script is gone from `/proc` when the child that it started last opens a token.

use std::collections::{HashMap, VecDeque};

use auditor_common::{ExecRecord, TaskContext, prefix, task_flags};

/// A process, for good: pids are reused.
type Key = (u32, u64);

/// Sessions that are remembered: probes of 110 pods, each second, for half a minute. 3 MB at most.
const SESSIONS: usize = 4096;
/// Programs that one process executed one after the other, the last ones.
const COMMANDS: usize = 4;

/// First processes of exec sessions to their command lines.
#[derive(Debug, Default)]
pub struct Sessions {
    commands: HashMap<Key, Vec<Box<[u8]>>>,
    order: VecDeque<Key>,
}

impl Sessions {
    pub fn note(&mut self, record: &ExecRecord) {
        let key = (record.pid, record.start_time);
        let args = prefix(&record.args, record.args_len).into();
        let commands = self.commands.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Vec::new()
        });
        if commands.len() >= COMMANDS {
            commands.remove(0);
        }
        commands.push(args);
        if self.order.len() > SESSIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.commands.remove(&oldest);
        }
    }

    /// What the session that `task` belongs to was started with, newest first.
    pub fn args_of(&self, task: &TaskContext) -> Vec<Vec<String>> {
        if task.flags & task_flags::ROOT_KNOWN == 0 {
            return Vec::new();
        }
        let key = (task.root_pid, task.root_start_time);
        let commands = self.commands.get(&key).into_iter().flatten();
        commands.rev().map(|bytes| split(bytes)).collect()
    }
}

fn split(bytes: &[u8]) -> Vec<String> {
    match bytes.strip_suffix(b"\0").unwrap_or(bytes) {
        b"" => Vec::new(),
        bytes => bytes
            .split(|byte| *byte == 0)
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn exec(pid: u32, start_time: u64, args: &[u8]) -> ExecRecord {
        let mut record = ExecRecord::new_zeroed();
        (record.pid, record.start_time) = (pid, start_time);
        record.args[..args.len()].copy_from_slice(args);
        record.args_len = args.len() as u32;
        record
    }

    fn child_of(pid: u32, start_time: u64) -> TaskContext {
        let mut task = TaskContext::new_zeroed();
        (task.root_pid, task.root_start_time) = (pid, start_time);
        task.flags = task_flags::ROOT_KNOWN;
        task
    }

    #[test]
    fn a_process_that_becomes_another_program_was_both() {
        let mut sessions = Sessions::default();
        sessions.note(&exec(7, 100, b"sh\0-c\0exec probe\0"));
        sessions.note(&exec(7, 100, b"probe\0"));
        let args = sessions.args_of(&child_of(7, 100));
        assert_eq!(args, [vec!["probe"], vec!["sh", "-c", "exec probe"]]);
        assert!(
            sessions.args_of(&child_of(7, 101)).is_empty(),
            "a later process"
        );
        let mut unknown = child_of(7, 100);
        unknown.flags = 0;
        assert!(sessions.args_of(&unknown).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut sessions = Sessions::default();
        for pid in 0..2 * SESSIONS as u32 {
            for _ in 0..2 * COMMANDS {
                sessions.note(&exec(pid, 1, b"x\0"));
            }
        }
        assert_eq!(sessions.commands.len(), SESSIONS);
        assert_eq!(sessions.order.len(), SESSIONS);
        assert_eq!(
            sessions.args_of(&child_of(SESSIONS as u32, 1)).len(),
            COMMANDS
        );
    }
}
