//! Opens and closes a file, often.
//!
//! `flood` (a container's init: requests on stdin, `lab::measure::flood::Request`), `flood paced PATH RATE AT SECONDS` (so often
//! a second, from a moment of CLOCK_MONOTONIC on; prints how often it was), `flood time PATH OPENS BATCHES` (prints the
//! nanoseconds of processor time that one open+close took, a line a batch).

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use lab::{
    measure::flood::{Done, Request, monotonic, realtime, thread_time},
    wire::serve,
};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => init(),
        ["paced", path, rate, at, seconds] => {
            let opens = paced(path, rate.parse()?, at.parse()?, seconds.parse()?)?;
            println!("{opens}");
            Ok(())
        }
        ["time", path, opens, batches] => time(path, opens.parse()?, batches.parse()?),
        _ => bail!("usage: flood [paced PATH RATE AT SECONDS | time PATH OPENS BATCHES]"),
    }
}

fn init() -> Result<()> {
    let mut thread: Option<JoinHandle<Result<Done>>> = None;
    let mut children: Vec<Child> = Vec::new();
    serve(|request: Request| match request {
        Request::Open { path, count } => {
            thread = Some(thread::spawn(move || open(&path, count)));
            Ok(Done::default())
        }
        Request::Paced {
            programs,
            path,
            rate,
            at,
            seconds,
        } => {
            for program in programs {
                let mut command = Command::new(&program);
                command.args(["paced", &path]);
                command.args([rate.to_string(), at.to_string(), seconds.to_string()]);
                command.stdin(Stdio::null()).stdout(Stdio::piped());
                children.push(
                    command
                        .spawn()
                        .with_context(|| format!("execute {program}"))?,
                );
            }
            Ok(Done::default())
        }
        Request::Join => {
            let mut done = match thread.take() {
                Some(thread) => thread
                    .join()
                    .map_err(|_| anyhow!("the thread panicked"))??,
                None => Done::default(),
            };
            for child in children.drain(..) {
                let output = child.wait_with_output()?;
                done.opens += String::from_utf8_lossy(&output.stdout)
                    .trim()
                    .parse::<u64>()?;
            }
            Ok(done)
        }
    })
}

fn open(path: &str, count: u64) -> Result<Done> {
    let (began, begun) = (realtime(), monotonic());
    for _ in 0..count {
        File::open(path).with_context(|| path.to_owned())?;
    }
    Ok(Done {
        opens: count,
        began,
        took: monotonic() - begun,
    })
}

/// In steps of a tenth of a second or of one open, whichever is longer. Who is late catches up, and stops in time.
fn paced(path: &str, rate: f64, at: u64, seconds: f64) -> Result<u64> {
    let step = (1.0 / rate).max(0.1);
    // Not all of them in the same moment.
    let phase = f64::from(std::process::id() % 101) / 101.0 * step;
    let end = at + (seconds * 1e9) as u64;
    let mut opens = 0;
    for tick in 0.. {
        let elapsed = phase + f64::from(tick) * step;
        let due = at + (elapsed * 1e9) as u64;
        if due >= end {
            break;
        }
        thread::sleep(Duration::from_nanos(due.saturating_sub(monotonic())));
        let wanted = (rate * (elapsed - phase + step)).round() as u64;
        while opens < wanted {
            if monotonic() >= end {
                return Ok(opens);
            }
            File::open(path).with_context(|| path.to_owned())?;
            opens += 1;
        }
    }
    Ok(opens)
}

fn time(path: &str, opens: u64, batches: u64) -> Result<()> {
    for _ in 0..batches {
        let begun = thread_time();
        for _ in 0..opens {
            File::open(path).with_context(|| path.to_owned())?;
        }
        println!(
            "{:.1}",
            (thread_time() - begun) as f64 / opens.max(1) as f64
        );
    }
    Ok(())
}
