//! As much of HTTP/1.1 as the agent, the instance metadata service and their clients use.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    net::TcpListener,
    thread,
};

/// Header names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Response {
    pub fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            _ => "Internal Server Error",
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason());
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        out.write_all(text.as_bytes())
    }
}

/// The next request of a kept-alive connection; none where the client has closed it.
fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(input)? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no request line",
        ));
    };
    read_body(input, &headers)?;
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
    }))
}

/// Sends one request and reads its response: status and body.
pub fn exchange<S: BufRead + Write>(
    stream: &mut S,
    request: &Request,
) -> io::Result<(u16, Vec<u8>)> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    stream.write_all(text.as_bytes())?;
    stream.flush()?;
    let (first, headers) = read_head(stream)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no response"))?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no status line"))?;
    Ok((status, read_body(stream, &headers)?))
}

type Head = (String, BTreeMap<String, String>);

fn read_head(input: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut first = String::new();
    if input.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some((first.trim_end().to_owned(), headers)));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn read_body(input: &mut impl BufRead, headers: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let length: u64 = headers
        .get("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    Ok(body)
}

/// Serves connections of `listener` in threads of their own, for as long as the process lives.
pub fn serve(
    listener: TcpListener,
    respond: impl Fn(&Request) -> Response + Clone + Send + 'static,
) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let respond = respond.clone();
            thread::spawn(move || {
                let mut input = io::BufReader::new(&stream);
                while let Ok(Some(request)) = read_request(&mut input) {
                    if respond(&request).write(&mut &stream).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// A connection for [`exchange`]: buffered reading, plain writing.
pub struct Connection<S>(io::BufReader<S>);

impl<S: Read> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self(io::BufReader::new(stream))
    }
}

impl<S: Read> Read for Connection<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Read> BufRead for Connection<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<S: Write> Write for Connection<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

/// A `GET` with its `Host`.
pub fn get(path: &str, host: &str) -> Request {
    Request {
        method: "GET".into(),
        path: path.into(),
        headers: BTreeMap::from([
            ("host".into(), host.into()),
            ("user-agent".into(), "lab/1".into()),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_its_headers_and_the_next_one_follows() {
        let mut input = "PUT /latest/api/token HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxxGET / HTTP/1.1\r\n\r\n".as_bytes();
        let first = read_request(&mut input).unwrap().unwrap();
        assert_eq!(
            (first.method.as_str(), first.path.as_str()),
            ("PUT", "/latest/api/token")
        );
        assert_eq!(first.headers["host"], "a");
        assert_eq!(read_request(&mut input).unwrap().unwrap().path, "/");
        assert_eq!(read_request(&mut input).unwrap(), None);
    }
}
