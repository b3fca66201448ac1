//! Many connections, by real sockets: each address of 127.0.0.0/8 is a peer of its own.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use rustix::net::{
    AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};

use super::{
    super::connections::{MOST, MOST_OF_ONE},
    *,
};

const HALF: &str = "GET /healthz HTT";
const REST: &str = "P/1.1\r\nHost: x\r\n\r\n";

/// From 127.0.0.`last`; `receive`: the receive buffer's bytes, where it should be small.
fn try_from_peer(
    last: u8,
    addr: SocketAddr,
    receive: Option<usize>,
) -> rustix::io::Result<TcpStream> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    if let Some(bytes) = receive {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    bind(
        &socket,
        &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0),
    )?;
    connect(&socket, &addr)?;
    Ok(socket.into())
}

fn from_peer(last: u8, addr: SocketAddr) -> TcpStream {
    try_from_peer(last, addr, None).unwrap()
}

/// One that has sent half a request.
fn half(last: u8, addr: SocketAddr) -> TcpStream {
    let mut stream = from_peer(last, addr);
    // It may have been ended already, by those that came after it.
    let _ = stream.write_all(HALF.as_bytes());
    stream
}

fn crowd(test: impl FnOnce(SocketAddr)) {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
    served(metrics, readiness, test);
}

/// The server has not ended it.
fn is_open(stream: &TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut stream = stream;
    let end = stream.read(&mut [0]);
    end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn who_holds_many_ends_his_own_oldest_and_nobody_elses() {
    crowd(|addr| {
        // Older than all the others.
        let slow = half(1, addr);
        let many: Vec<_> = (0..4 * MOST).map(|_| half(2, addr)).collect();
        // Accepted after all of those.
        assert!(ask(addr, "GET /healthz").ends_with("ok\n"));
        let open: Vec<bool> = many.iter().map(is_open).collect();
        let (ended, held) = open.split_at(many.len() - MOST_OF_ONE);
        assert!(
            ended.iter().all(|open| !open) && held.iter().all(|open| *open),
            "{open:?}"
        );
        assert!(finish(slow, REST).ends_with("ok\n"));
    });
}

#[test]
fn many_peers_that_hold_all_connections_keep_nobody_out() {
    crowd(|addr| {
        let peers = 2..=u8::try_from(1 + 2 * MOST / MOST_OF_ONE).unwrap();
        let hold = || -> Vec<TcpStream> {
            let each = peers
                .clone()
                .flat_map(|last| std::iter::repeat_n(last, MOST_OF_ONE));
            each.map(|last| half(last, addr)).collect()
        };
        let many = hold();
        assert_eq!(many.len(), 2 * MOST);
        let slow = half(1, addr);
        // Older than all of these, and of a peer that has less than any other.
        let more = hold();
        for _ in 0..MOST {
            assert!(ask(addr, "GET /healthz").ends_with("ok\n"));
        }
        assert!(finish(slow, REST).ends_with("ok\n"));
        drop((many, more));
    });
}

#[test]
fn an_answer_on_its_way_is_not_cut_off_by_those_who_come_after() {
    let metrics = Arc::new(Metrics::with_max_label_sets(40_000));
    for n in 0..30_000 {
        let mut open = fixture::token_open(&format!("a-namespace-with-a-long-name-{n}"), 1);
        open.findings[0].exempted_by = None;
        metrics.emitted(&Body::TokenOpen(Box::new(open)));
    }
    let size = metrics.encode().unwrap().len();
    assert!(size > 6 << 20, "{size}: sockets' buffers may hold as much");
    served(metrics, Arc::new(Readiness::default()), |addr| {
        let mut slow = try_from_peer(2, addr, Some(4096)).unwrap();
        slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut first = [0];
        slow.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        slow.read_exact(&mut first).unwrap();
        let many: Vec<_> = (0..4 * MOST).map(|_| half(2, addr)).collect();
        assert!(ask(addr, "GET /healthz").ends_with("ok\n"));
        let mut rest = String::new();
        slow.read_to_string(&mut rest).unwrap();
        assert!(rest.len() > size && rest.ends_with("# EOF\n"));
        drop(many);
    });
}

#[test]
fn a_flooder_keeps_nobody_of_another_address_out() {
    crowd(|addr| {
        let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for request in ["", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"] {
                scope.spawn({
                    let (stop, made) = (&stop, &made);
                    move || {
                        let mut held = std::collections::VecDeque::new();
                        while !stop.load(Ordering::Relaxed) {
                            let Ok(mut stream) = try_from_peer(2, addr, None) else {
                                continue;
                            };
                            let _ = stream.write_all(request.as_bytes());
                            made.fetch_add(1, Ordering::Relaxed);
                            held.push_back(stream);
                            if held.len() > MOST {
                                held.pop_front();
                            }
                        }
                    }
                });
            }
            let failed = (0..40)
                .filter(|_| {
                    thread::sleep(Duration::from_millis(20));
                    let started = Instant::now();
                    let mut stream = half(1, addr);
                    // What an oldest one does not outlive.
                    thread::sleep(Duration::from_millis(20));
                    let mut answer = String::new();
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let asked = stream.write_all(REST.as_bytes());
                    let told = asked.and_then(|()| stream.read_to_string(&mut answer));
                    told.is_err()
                        || !answer.ends_with("ok\n")
                        || started.elapsed() > Duration::from_secs(5)
                })
                .count();
            stop.store(true, Ordering::Relaxed);
            let made = made.load(Ordering::Relaxed);
            assert!(made > 1000, "no flood: {made}");
            assert_eq!(failed, 0, "of 40, among {made} connections of the flooder");
        });
    });
}
