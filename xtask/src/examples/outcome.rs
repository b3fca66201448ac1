//! What became of an example.

use anyhow::Error;

use crate::summary::Counts;

/// One line of the report.
pub struct Outcome {
    /// Where it stands, and what it is.
    what: String,
    end: End,
}

enum End {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    pub fn of(what: String, result: Result<(), Error>) -> Self {
        let end = match result {
            Ok(()) => End::Passed,
            Err(error) => End::Failed(format!("{error:#}")),
        };
        Self { what, end }
    }

    pub fn skipped(what: String, why: String) -> Self {
        let end = End::Skipped(why);
        Self { what, end }
    }

    /// Prints and counts it.
    pub fn tell(self) -> Counts {
        let mut counts = Counts::default();
        let Self { what, end } = self;
        match end {
            End::Passed => {
                counts.passed = 1;
                println!("ok   {what}");
            }
            End::Failed(why) => {
                counts.failed = 1;
                println!("FAIL {what}: {why}");
            }
            End::Skipped(why) => {
                counts.skipped = 1;
                println!("skipped: {what}: {why}");
            }
        }
        counts
    }
}
