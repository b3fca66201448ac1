//! `rewrite FILE TIMES PAUSE`: writes a line to a file and reads it again, with a pause of so many milliseconds after each
//! time.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, times, pause] = &args[..] else {
        bail!("usage: rewrite FILE TIMES PAUSE");
    };
    let path = Path::new(file);
    let pause = Duration::from_millis(pause.parse()?);
    for _ in 0..times.parse::<u32>()? {
        fs::write(path, "a line\n").with_context(|| file.clone())?;
        let text = fs::read_to_string(path).with_context(|| file.clone())?;
        ensure!(text == "a line\n", "{file} holds something else");
        thread::sleep(pause);
    }
    Ok(())
}
