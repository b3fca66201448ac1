//! A second thread connects.

use std::{net::TcpStream, thread};

use anyhow::{Result, anyhow};

use crate::common::{AGENT, ask};

pub fn run(_: &[String]) -> Result<()> {
    let connected = thread::spawn(|| TcpStream::connect(AGENT)).join();
    ask(connected.map_err(|_| anyhow!("the thread panicked"))??)
}
