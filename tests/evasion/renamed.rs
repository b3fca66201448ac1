//! A process that calls itself `kubelet`, in comm and command line.

use std::{env, fs::File, os::unix::process::CommandExt, process::Command};

use anyhow::Result;

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let become_it = Command::new(env::current_exe()?)
        .arg0("/usr/bin/kubelet")
        .args(["renamed-kubelet".as_ref(), path.as_os_str()])
        .exec();
    Err(become_it.into())
}

pub fn kubelet(args: &[String]) -> Result<()> {
    rustix::thread::set_name(c"kubelet")?;
    read(File::open(only(args)?)?)
}
