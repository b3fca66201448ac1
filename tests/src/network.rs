//! The node's network: a namespace for the node itself (where the agent's addresses live), one for the instance metadata
//! service behind it, and one for each pod. Nothing here is connected to the host's network.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    service::{agent, imds},
    sys::{netlink::Netlink, netns},
};

/// A network between the node and one other namespace.
#[derive(Clone, Copy)]
struct Link {
    node: (IpAddr, IpAddr),
    far: (IpAddr, IpAddr),
}

impl Link {
    /// The link of pod `index`: 10.42.x.0/30 and fd42:0:0:x::/64.
    fn of_pod(index: u16) -> Self {
        let [high, low] = (index * 4).to_be_bytes();
        let v4 = |host| IpAddr::V4(Ipv4Addr::new(10, 42, high, low + host));
        let v6 = |host| IpAddr::V6(Ipv6Addr::new(0xfd42, 0, 0, index, 0, 0, 0, host));
        Self {
            node: (v4(1), v6(1)),
            far: (v4(2), v6(2)),
        }
    }
}

/// Pod numbers run up to this one.
pub const MAX_PODS: u16 = 4_000;

pub struct Network {
    dir: PathBuf,
}

impl Network {
    /// Makes the node's namespace and the metadata service's below `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let this = Self {
            dir: dir.to_owned(),
        };
        for path in [this.node(), this.imds()] {
            netns::create(&path)?;
        }
        netns::within(&this.node(), || {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forward IPv4")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").context("forward IPv6")?;
            let netlink = Netlink::open()?;
            netlink.set_up("lo")?;
            // The real agent puts them on a dummy device of its own; loopback answers in the same way.
            netlink.add_address("lo", agent::V4.parse()?, 32)?;
            netlink.add_address("lo", agent::V6.parse()?, 128)
        })?;
        this.connect(&this.imds(), "imds0", Link::of_pod(0))?;
        netns::within(&this.imds(), || {
            let netlink = Netlink::open()?;
            netlink.add_address("lo", imds::V4.parse()?, 32)?;
            netlink.add_address("lo", imds::V6.parse()?, 128)
        })?;
        let (v4, v6) = Link::of_pod(0).far;
        netns::within(&this.node(), || {
            let netlink = Netlink::open()?;
            netlink.add_route(imds::V4.parse()?, 32, v4)?;
            netlink.add_route(imds::V6.parse()?, 128, v6)
        })?;
        Ok(this)
    }

    /// The node's namespace: hostNetwork pods and the agent live here.
    pub fn node(&self) -> PathBuf {
        self.dir.join("node")
    }

    pub fn imds(&self) -> PathBuf {
        self.dir.join("imds")
    }

    /// A namespace of its own for pod `index` (from 1), connected to the node; returns its file and IPv4 address.
    pub fn add_pod(&self, index: u16) -> Result<(PathBuf, IpAddr)> {
        if index == 0 || index > MAX_PODS {
            bail!("the lab's network has room for {MAX_PODS} pods");
        }
        let path = self.dir.join(format!("pod-{index}"));
        netns::create(&path)?;
        let link = Link::of_pod(index);
        self.connect(&path, &format!("veth{index}"), link)?;
        Ok((path, link.far.0))
    }

    pub fn remove_pod(&self, path: &Path) -> Result<()> {
        crate::sys::mounts::detach(path)?;
        Ok(fs::remove_file(path)?)
    }

    /// A veth pair between the node and `far`, with `far`'s default routes through the node.
    fn connect(&self, far: &Path, name: &str, link: Link) -> Result<()> {
        let far_ns = netns::open(far)?;
        netns::within(&self.node(), || {
            let netlink = Netlink::open()?;
            netlink.add_veth(name, "eth0", far_ns.as_fd())?;
            netlink.add_address(name, link.node.0, 30)?;
            netlink.add_address(name, link.node.1, 64)?;
            netlink.set_up(name)
        })?;
        netns::within(far, || {
            let netlink = Netlink::open()?;
            netlink.set_up("lo")?;
            netlink.add_address("eth0", link.far.0, 30)?;
            netlink.add_address("eth0", link.far.1, 64)?;
            netlink.set_up("eth0")?;
            netlink.add_route(Ipv4Addr::UNSPECIFIED.into(), 0, link.node.0)?;
            netlink.add_route(Ipv6Addr::UNSPECIFIED.into(), 0, link.node.1)?;
            wait_for_carrier()
        })
        .with_context(|| format!("network of {}", far.display()))
    }
}

/// Waits until the kernel has given `eth0` its own link-local address: from then on IPv6 works on it.
fn wait_for_carrier() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let addresses = fs::read_to_string("/proc/thread-self/net/if_inet6")
            .context("is IPv6 switched off?")?;
        if addresses
            .lines()
            .any(|l| l.starts_with("fe80") && l.ends_with("eth0"))
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("eth0 does not come up");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
