//! Asks the instance metadata service (IMDSv2) over one kept-alive connection.
//!
//! `metadata ADDR region` or `metadata ADDR credentials` (the role's name, then its credentials).

use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use lab::http::{Connection, Request, exchange, get};

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: metadata ADDR region|credentials";
    let address: IpAddr = args.next().context(usage)?.parse()?;
    let what = args.next().context(usage)?;
    let address = SocketAddr::new(address, 80);
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    let mut connection = Connection::new(stream);
    let mut ask = |request: &Request| -> Result<String> {
        let (status, body) = exchange(&mut connection, request)?;
        if status != 200 {
            bail!("{} {}: {status}", request.method, request.path);
        }
        Ok(String::from_utf8(body)?)
    };

    let mut put = get("/latest/api/token", &address.to_string());
    put.method = "PUT".into();
    put.headers.insert(
        "x-aws-ec2-metadata-token-ttl-seconds".into(),
        "21600".into(),
    );
    let session = ask(&put)?;
    let mut get_with_session = |path: &str| {
        let mut request = get(path, &address.to_string());
        request
            .headers
            .insert("x-aws-ec2-metadata-token".into(), session.clone());
        ask(&request)
    };
    match what.as_str() {
        "region" => println!(
            "region {}",
            get_with_session("/latest/meta-data/placement/region")?
        ),
        "credentials" => {
            let role = get_with_session(ROLES)?;
            println!(
                "credentials of {role}: {} bytes",
                get_with_session(&format!("{ROLES}{role}"))?.len()
            );
        }
        _ => bail!(usage),
    }
    Ok(())
}
