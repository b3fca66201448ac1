//! One process opens into a slot of its io_uring, and hands that to another process's ring (`IORING_MSG_SEND_FD`).

use anyhow::{Result, ensure};
use lab::sys::{
    fork::{Fork, SingleThreaded},
    ring::By,
};
use rustix::process::{WaitOptions, waitpid};

use crate::common::{c_path, only, ring, skip, token};

/// The child's word that this kernel hands nothing over.
const NOT_HERE: i32 = 77;

pub fn run(args: &[String]) -> Result<()> {
    let path = c_path(only(args)?)?;
    let single = SingleThreaded::check()?;
    let mut receiving = ring(By::Submitter)?;
    receiving.add_slot()?;
    match single.fork()? {
        Fork::Child => {
            let handed = (|| -> Result<i32> {
                let mut sending = ring(By::Submitter)?;
                let opened = sending.open_direct(&path);
                match opened.and_then(|()| sending.hand_to(&receiving)) {
                    Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                        Ok(NOT_HERE)
                    }
                    done => Ok(done.map(|()| 0)?),
                }
            })();
            std::process::exit(handed.unwrap_or(1))
        }
        Fork::Parent(child) => {
            let ended = waitpid(Some(child), WaitOptions::empty())?;
            let status = ended.and_then(|(_, status)| status.exit_status());
            if status == Some(NOT_HERE) {
                return Err(skip(
                    "this kernel's rings hand no descriptors over (Linux 6.0)",
                ));
            }
            ensure!(status == Some(0), "the sender ended with {status:?}");
            receiving.wait_for_message()?;
            token(&receiving.read_direct()?)
        }
    }
}
