//! What libFuzzer writes on standard error (compiler-rt/lib/fuzzer/FuzzerLoop.cpp `PrintStats`).

/// A run in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub executions: u64,
    pub per_second: u64,
    /// Edges that the corpus reaches.
    pub coverage: u64,
    /// Of them those that what was there before did not reach.
    pub new_coverage: u64,
    /// Inputs in the corpus.
    pub corpus: u64,
    pub peak_mib: u64,
}

#[derive(Debug, Default)]
pub struct Reader {
    seen: Seen,
    first_coverage: Option<u64>,
    /// Of the input that crashed.
    pub artifact: Option<String>,
    /// The panic's place, or libFuzzer's own word.
    pub why: Option<String>,
    message_follows: bool,
}

impl Reader {
    /// Reads one line; gives what to say of the progress, where the line tells of some.
    pub fn line(&mut self, line: &str) -> Option<String> {
        if std::mem::take(&mut self.message_follows)
            && let Some(why) = &mut self.why
        {
            why.push_str(": ");
            why.push_str(line.get(..200).unwrap_or(line));
        }
        if let Some(fields) = line.strip_prefix('#') {
            return self.status(fields);
        }
        if let Some((name, value)) = line
            .strip_prefix("stat::")
            .and_then(|stat| stat.split_once(':'))
        {
            let value = value.trim().parse().unwrap_or_default();
            match name {
                "number_of_executed_units" => self.seen.executions = value,
                "average_exec_per_sec" => self.seen.per_second = value,
                "peak_rss_mb" => self.seen.peak_mib = value,
                _ => {}
            }
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            // Slow ones are written too, and are no crash.
            if !path.contains("/slow-unit-") {
                self.artifact = Some(path.trim().to_owned());
            }
        } else if self.why.is_none()
            && let Some((_, place)) = line.split_once(" panicked at ")
        {
            self.why = Some(format!("panicked at {}", place.trim_end_matches(':')));
            self.message_follows = true;
        } else if self.why.is_none()
            && let Some((_, error)) = line.split_once("ERROR: libFuzzer: ")
        {
            self.why = Some(error.to_owned());
        }
        None
    }

    /// `#1234 NEW    cov: 10 ft: 20 corp: 5/1Kb lim: 4 exec/s: 100 rss: 50Mb …`
    fn status(&mut self, fields: &str) -> Option<String> {
        let mut words = fields.split_whitespace();
        self.seen.executions = words.next()?.parse().ok()?;
        let kind = words.next()?;
        while let Some(word) = words.next() {
            match word {
                "cov:" => self.seen.coverage = words.next()?.parse().ok()?,
                "corp:" => {
                    let (count, _) = words.next()?.split_once('/')?;
                    self.seen.corpus = count.parse().ok()?;
                }
                "exec/s:" => self.seen.per_second = words.next()?.parse().ok()?,
                _ => {}
            }
        }
        if kind == "INITED" {
            self.first_coverage = Some(self.seen.coverage);
        }
        let Seen {
            executions,
            coverage,
            corpus,
            ..
        } = self.seen;
        Some(format!(
            "{executions} runs, cov {coverage}, corpus {corpus}"
        ))
    }

    pub fn seen(&self) -> Seen {
        let first = self.first_coverage.unwrap_or_default();
        Seen {
            new_coverage: self.seen.coverage.saturating_sub(first),
            ..self.seen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_figures() {
        let mut reader = Reader::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "#14\tINITED cov: 410 ft: 680 corp: 13/3120b exec/s: 0 rss: 61Mb",
            "#8192\tNEW    cov: 415 ft: 700 corp: 15/3.2Kb lim: 512 exec/s: 4096 rss: 70Mb L: 3/512 MS: 1 EraseBytes-",
            "stat::number_of_executed_units: 9000",
            "stat::average_exec_per_sec:     4500",
            "stat::peak_rss_mb:              71",
        ] {
            reader.line(line);
        }
        let expected = Seen {
            executions: 9000,
            per_second: 4500,
            coverage: 415,
            new_coverage: 5,
            corpus: 15,
            peak_mib: 71,
        };
        assert_eq!(reader.seen(), expected);
        assert_eq!((reader.artifact, reader.why), (None, None));
    }

    #[test]
    fn a_crash_has_an_input_and_a_reason() {
        let mut reader = Reader::default();
        for line in [
            "thread '<unnamed>' (12) panicked at fuzz_targets/x.rs:7:5:",
            "it broke",
            "==12== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='/c/'; Test unit written to /c/slow-unit-00",
            "artifact_prefix='/c/'; Test unit written to /c/crash-da39",
        ] {
            reader.line(line);
        }
        assert_eq!(reader.artifact.as_deref(), Some("/c/crash-da39"));
        assert_eq!(
            reader.why.as_deref(),
            Some("panicked at fuzz_targets/x.rs:7:5: it broke")
        );
    }
}
