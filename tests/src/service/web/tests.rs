use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use super::*;

struct Hello;

impl Handler for Hello {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        exchange: Exchange,
    ) -> Result<Response<Body>, Cut> {
        match request.uri().path() {
            "/nothing" => Err(Cut),
            "/reset" => {
                exchange.socket.reset_at_close().map_err(|_| Cut)?;
                Err(Cut)
            }
            "/half" => Ok(Response::new(Body::half(
                &"0123456789".into(),
                exchange.entry,
            ))),
            _ => Ok(Response::new(Body::whole("hello", exchange.entry))),
        }
    }
}

fn ask(server: &Server, path: &str) -> (String, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(
        stream,
        "GET {path}?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (
        String::from_utf8(bytes).unwrap(),
        error.map(|error| error.kind()),
    )
}

#[test]
fn answers_are_whole_or_cut_or_missing_and_all_are_recorded() {
    let server = Server::start("hello", Arc::new(Hello)).unwrap();
    let (whole, error) = ask(&server, "/");
    assert!(whole.contains("content-length: 5") && whole.ends_with("\r\n\r\nhello"));
    assert_eq!(error, None);
    // Chunked, and without the chunk that ends it.
    assert!(ask(&server, "/half").0.ends_with("\r\n5\r\n01234\r\n"));
    assert_eq!(ask(&server, "/nothing"), (String::new(), None));
    assert_eq!(ask(&server, "/reset").1, Some(ErrorKind::ConnectionReset));
    let seen: Vec<(String, u16, u64)> = server
        .log()
        .all()
        .into_iter()
        .map(|seen| {
            (
                format!("{}?{}", seen.path, seen.query),
                seen.status,
                seen.bytes,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("/?a=b".to_owned(), 200, 5),
            ("/half?a=b".to_owned(), 200, 5),
            ("/nothing?a=b".to_owned(), 0, 0),
            ("/reset?a=b".to_owned(), 0, 0),
        ]
    );
}

#[test]
fn it_goes_away_and_comes_back_on_the_same_port() {
    let server = Server::start("hello", Arc::new(Hello)).unwrap();
    let mut idle = TcpStream::connect(server.address()).unwrap();
    // Accepted, not only in the queue.
    ask(&server, "/");
    server.go_away(Ending::Reset).unwrap();
    let refused = TcpStream::connect(server.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let reset = idle.read(&mut [0]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    server.come_back().unwrap();
    assert!(ask(&server, "/").0.ends_with("hello"));
}
