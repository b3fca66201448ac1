//! The program of the image, alone: in a root directory that holds nothing but it and what the kubelet writes into every container,
//! `/etc/resolv.conf`, it finds names and makes TLS connections.
//!
//! A static glibc has its resolver in it, but other ways to find names (`/etc/nsswitch.conf`) it would load as libraries; and
//! certificate authorities are files of a distribution. Neither is in the image.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::node::Node;
use crate::{
    auditor::Auditor,
    patience,
    sys::{mounts, netlink::Netlink, netns},
};

/// As the kubelet writes it (`dnsPolicy: ClusterFirst`), with the name server of this network.
const RESOLV_CONF: &str = "search credential-auditor.svc.cluster.local svc.cluster.local cluster.local\n\
    nameserver 127.0.0.53\noptions ndots:5\n";
const NAME_SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 53), 53);
/// Found by the search list only.
const NAME: &str = "eks.default.svc";
const WHOLE_NAME: &str = "eks.default.svc.cluster.local";
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// RFC 8446, 5.1: the first byte of a ClientHello's record.
const HANDSHAKE: u8 = 22;

/// # Errors
/// With what did not work.
pub fn check(node: &Node, auditor: &Auditor) -> Result<()> {
    let root = node.lab.dir().join("alone");
    fs::create_dir_all(root.join("etc"))?;
    fs::create_dir_all(root.join("out"))?;
    fs::write(root.join("etc/resolv.conf"), RESOLV_CONF)?;
    // What containerd took out of the image.
    let program = format!("/proc/{}/exe", auditor.pid());
    fs::copy(&program, root.join("auditor")).with_context(|| program)?;
    let network = node.lab.dir().join("netns-alone");
    netns::create(&network)?;
    let outcome = netns::within(&network, || {
        Netlink::open()?.set_up("lo")?;
        reads_associations(&root)?;
        begins_tls(&root)
    });
    mounts::detach(&network)?;
    fs::remove_file(network)?;
    outcome
}

/// From an EKS that is named, over HTTP.
fn reads_associations(root: &Path) -> Result<()> {
    let names = names()?;
    let server = TcpListener::bind((SERVER, 80))?;
    server.set_nonblocking(true)?;
    let asked = Mutex::new(Vec::new());
    let output = thread::scope(|scope| {
        let child = scope.spawn(|| run(root, &format!("http://{NAME}")));
        while !child.is_finished() {
            answer_name(&names, &asked)?;
            answer_list(&server)?;
        }
        child
            .join()
            .unwrap_or_else(|_| anyhow::bail!("its thread panicked"))
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let asked = asked.into_inner().unwrap_or_default();
    ensure!(
        asked.iter().any(|name| name == WHOLE_NAME),
        "it asked for {asked:?} and not for {WHOLE_NAME}\n{said}"
    );
    ensure!(
        output.status.success(),
        "it ended with {}\n{said}",
        output.status
    );
    let written = fs::read_to_string(root.join("out/associations.json"))?;
    ensure!(written.contains("associations"), "it wrote {written}");
    Ok(())
}

/// As far as the first byte: it has authorities to hold the server's certificate against.
fn begins_tls(root: &Path) -> Result<()> {
    let names = names()?;
    let server = TcpListener::bind((SERVER, 443))?;
    server.set_nonblocking(true)?;
    let mut child = command(root, &format!("https://{NAME}")).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    let first = loop {
        answer_name(&names, &Mutex::default())?;
        if let Some(mut connection) = accepted(&server)? {
            let mut first = [0];
            break connection.read_exact(&mut first).map(|()| first[0]);
        }
        if Instant::now() > deadline || child.try_wait()?.is_some() {
            break Err(io::Error::from(io::ErrorKind::TimedOut));
        }
    };
    // Fails only where it has ended.
    let _ = child.kill();
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let first = first.with_context(|| format!("nothing came over TLS\n{said}"))?;
    ensure!(first == HANDSHAKE, "it began with byte {first}\n{said}");
    Ok(())
}

fn run(root: &Path, endpoint: &str) -> Result<Output> {
    command(root, endpoint).output().context("start chroot")
}

fn command(root: &Path, endpoint: &str) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root);
    command.args([
        "/auditor",
        "sync-associations",
        "--once",
        "--cluster-name",
        "prod",
    ]);
    command.args(["--to", "file:/out/associations.json"]);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "made-up"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL_EKS", endpoint),
    ] {
        command.env(name, value);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn names() -> Result<UdpSocket> {
    let socket = UdpSocket::bind(NAME_SERVER)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// Answers a question, if there is one: [`WHOLE_NAME`] has an address, nothing else is there.
fn answer_name(socket: &UdpSocket, asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut question = [0; 512];
    let (length, from) = match socket.recv_from(&mut question) {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            return Ok(());
        }
        other => other?,
    };
    let (name, answer) = dns(&question[..length]).context("no question")?;
    socket.send_to(&answer, from)?;
    if let Ok(mut asked) = asked.lock() {
        asked.push(name);
    }
    Ok(())
}

/// The name that a query of RFC 1035 asks for, and the answer to it.
fn dns(query: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut labels = Vec::new();
    let mut at = 12;
    while let Some(length) = query
        .get(at)
        .map(|&byte| usize::from(byte))
        .filter(|&n| n > 0)
    {
        labels.push(String::from_utf8_lossy(query.get(at + 1..=at + length)?).into_owned());
        at += length + 1;
    }
    let end = at + 5;
    let kind = query.get(at + 1..at + 3)?;
    let name = labels.join(".");
    let is_there = name == WHOLE_NAME;
    let has_address = is_there && kind == [0, 1];
    let mut answer = query.get(..2)?.to_vec();
    // A response without or with NXDOMAIN; one question, one answer or none.
    answer.extend([
        0x81,
        if is_there { 0x80 } else { 0x83 },
        0,
        1,
        0,
        has_address.into(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(query.get(12..end)?);
    if has_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(SERVER.octets());
    }
    Some((name, answer))
}

fn answer_list(server: &TcpListener) -> Result<()> {
    let Some(mut connection) = accepted(server)? else {
        return Ok(());
    };
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let body = r#"{"associations":[]}"#;
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

fn accepted(server: &TcpListener) -> Result<Option<std::net::TcpStream>> {
    match server.accept() {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => {
            let (connection, _) = other?;
            connection.set_nonblocking(false)?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(Some(connection))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        query
    }

    #[test]
    fn only_the_whole_name_has_an_address() {
        let (name, answer) = dns(&query(WHOLE_NAME, 1)).unwrap();
        assert_eq!(name, WHOLE_NAME);
        assert_eq!((&answer[..2], answer[3], answer[7]), (&[7, 8][..], 0x80, 1));
        assert!(answer.ends_with(&[127, 0, 0, 9]));
        let (_, none) = dns(&query(WHOLE_NAME, 28)).unwrap();
        assert_eq!((none[3], none[7]), (0x80, 0));
        let (_, unknown) = dns(&query(NAME, 1)).unwrap();
        assert_eq!((unknown[3], unknown[7]), (0x83, 0));
        assert!(dns(&[0; 5]).is_none());
    }
}
