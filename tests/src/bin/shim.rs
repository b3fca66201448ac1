//! A container runtime's shim: the parent of one pod's containers, and of what is exec'd into them from outside.
//!
//! Requests on stdin (`lab::node::shim::Request`).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use lab::{
    container::{self, ContainerSpec, Started},
    node::shim::{Reply, Request},
    sys::fork::SingleThreaded,
    wire::{parse_reply, serve},
};
use rustix::process::{Signal, kill_process};

fn main() -> Result<()> {
    let single = SingleThreaded::check()?;
    let mut containers: BTreeMap<String, (ContainerSpec, Started)> = BTreeMap::new();
    serve(|request: Request| match request {
        Request::Start { name, spec } => {
            let started = container::start(&spec, single)?;
            let pid = started.pid.as_raw_nonzero().get().unsigned_abs();
            containers.insert(name, (spec, started));
            Ok(Reply::Started { pid })
        }
        Request::Tell { name, line } => {
            let (_, started) = containers.get_mut(&name).context("no such container")?;
            Ok(Reply::Told {
                value: parse_reply(&container::tell(started, &line)?)?,
            })
        }
        Request::Exec { name, argv } => {
            let (spec, started) = containers.get(&name).context("no such container")?;
            let exec = container::exec(spec, started.pid, &argv, single)?;
            Ok(Reply::Ended(container::finish(exec)?))
        }
        Request::Wait { name } => {
            let (_, started) = containers.remove(&name).context("no such container")?;
            Ok(Reply::Ended(container::finish(started)?))
        }
        Request::Kill { name } => {
            let (_, started) = containers.remove(&name).context("no such container")?;
            kill_process(started.pid, Signal::KILL)?;
            Ok(Reply::Ended(container::finish(started)?))
        }
    })
}
