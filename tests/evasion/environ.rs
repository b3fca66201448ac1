//! The victim's environment is read (`/proc/PID/environ`), which names where its token lies and holds no token.

use std::fs;

use anyhow::{Context, Result, ensure};

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    let text = String::from_utf8_lossy(&environment);
    ensure!(
        text.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        "not the victim's"
    );
    Ok(())
}
