//! `auditor policy check` and `auditor policy suggest`.

use jiff::Timestamp;

use crate::{
    cli::{Exit, Failure, PolicyArgs, PolicyCheckArgs, PolicyCommand, PolicySuggestArgs},
    plain::one_line,
    policy::check,
    recorded::read_files,
    state::read_learned,
    suggest,
};

/// # Errors
/// When a file cannot be read.
pub fn run(args: PolicyArgs) -> Result<Exit, Failure> {
    match args.command {
        PolicyCommand::Check(args) => check_file(&args),
        PolicyCommand::Suggest(args) => suggest_from(&args),
    }
}

/// One line each, as compilers write them: an editor that jumps to those jumps to these.
fn check_file(args: &PolicyCheckArgs) -> Result<Exit, Failure> {
    let path = args.file.display();
    let report = check::check(&crate::cli::read_file(&args.file)?, Timestamp::now());
    let mut out = String::new();
    for (kind, remarks) in [("error", &report.errors), ("warning", &report.warnings)] {
        for remark in remarks {
            let at = match remark.position {
                Some((line, column)) => format!("{line}:{column}: "),
                None => String::new(),
            };
            let line = format!("{path}:{at}{kind}: {}", remark.message);
            out.push_str(&one_line(&line));
            out.push('\n');
        }
    }
    let (errors, warnings) = (report.errors.len(), report.warnings.len());
    let verdict = if errors == 0 {
        "can be used"
    } else {
        "cannot be used"
    };
    out.push_str(&format!(
        "{path} {verdict}: {errors} errors, {warnings} warnings\n"
    ));
    crate::cli::print(&out)?;
    Ok(if errors == 0 {
        Exit::Success
    } else {
        Exit::Environment
    })
}

fn suggest_from(args: &PolicySuggestArgs) -> Result<Exit, Failure> {
    let mut seen = suggest::Seen::default();
    let skipped = read_files(&args.files, |line| seen.take(&line)).map_err(Failure::environment)?;
    if let Some(dir) = &args.state_dir {
        let learned = read_learned(dir)
            .map_err(|error| Failure::environment(anyhow::anyhow!("{}: {error}", dir.display())))?;
        for learned in &learned {
            seen.learned(learned);
        }
    }
    crate::cli::print(&suggest::render(&seen, &skipped))?;
    Ok(Exit::Success)
}
