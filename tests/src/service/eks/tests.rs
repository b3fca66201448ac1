use std::net::TcpStream;

use super::*;
use crate::http;

fn get(eks: &Eks, path: &str) -> (u16, String) {
    let address = eks.url().trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(&address).unwrap();
    let request = http::get(path, &address);
    let (status, body) = http::exchange(&mut http::Connection::new(stream), &request).unwrap();
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn an_unsigned_request_is_refused() {
    let eks = Eks::start("prod").unwrap();
    let (status, body) = get(&eks, "/clusters/prod/pod-identity-associations");
    assert_eq!(
        (status, body.as_str()),
        (403, r#"{"message":"Missing Authentication Token"}"#)
    );
}
