//! The victim's own open brings the watcher a descriptor of the same file, which it never opened.

use anyhow::{Context, Result, bail};
use lab::sys::raw;

use crate::common::{c_path, leave_word, left_running, offered, read, wait_for_word};

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [watch, path] if watch == "watch" => {
            let path = c_path(&std::path::Path::new(path).canonicalize()?)?;
            let group = offered(raw::watch_opens(&path), "fanotify")?;
            left_running(|ready| {
                ready();
                let opened = raw::next_opened(&group).context("no event")?;
                read(opened)?;
                leave_word("fanotify")
            })
        }
        [wait] if wait == "wait" => wait_for_word("fanotify"),
        _ => bail!("usage: fanotify watch PATH | fanotify wait"),
    }
}
