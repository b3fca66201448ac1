//! What the kernel makes of each of the auditor's programs, for humans and for the VM test.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{confinement, helpers_beside_self};

/// Runs `auditor probes`; one line a program.
pub fn run(auditor: &Path) -> Result<String> {
    let output = confinement::command(&helpers_beside_self()?, auditor, &[])
        .arg("probes")
        .output()
        .with_context(|| format!("start {}", auditor.display()))?;
    ensure!(
        output.status.success(),
        "{} probes: {}\n{}",
        auditor.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    lines(&String::from_utf8_lossy(&output.stdout))
}

fn lines(json: &str) -> Result<String> {
    let mut text = String::new();
    for line in json.lines() {
        let probe: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let word = |name: &str| probe[name].as_str().with_context(|| line.to_owned());
        let made = match (probe["verified_insns"].as_u64(), probe["refused"].as_str()) {
            (_, Some(why)) => format!("refused: {}", why.replace('\n', " ")),
            (Some(count), None) => count.to_string(),
            (None, None) => "loaded".to_owned(),
        };
        writeln!(
            text,
            "probe {} {} {made}",
            word("program")?,
            word("backend")?
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_a_program() {
        let json = r#"{"program":"a","hook":"h","backend":"fentry","loaded":true,"verified_insns":9,"refused":null}
{"program":"b","hook":"h","backend":"kprobe","loaded":true,"verified_insns":null,"refused":null}
{"program":"c","hook":"h","backend":"syscall","loaded":false,"verified_insns":null,"refused":"no: way"}"#;
        assert_eq!(
            super::lines(json).unwrap(),
            "probe a fentry 9\nprobe b kprobe loaded\nprobe c syscall refused: no: way\n"
        );
        assert!(super::lines("{}").is_err());
    }
}
