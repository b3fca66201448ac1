//! `lab measure`: figures of the auditor.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use lab::measure::{burst, cost, paced, tool::Tool};

use super::auditor::AuditorArgs;

#[derive(Subcommand)]
pub enum Measure {
    /// What an open+close costs more with a tool attached, in turns.
    Cost {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Separated by commas.
        #[arg(long, value_delimiter = ',', default_value = "none,empty,auditor")]
        tools: Vec<Tool>,
        /// A file that concerns no tool.
        #[arg(long, value_name = "PATH", default_value_os = cost::default_unrelated().as_os_str())]
        unrelated: PathBuf,
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Opens in a batch.
        #[arg(long, default_value_t = 2_000)]
        opens: u32,
        #[arg(long, default_value_t = 20)]
        batches: u32,
    },
    /// One pod opens its token a million times while another steals one.
    Burst {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 10)]
        runs: u32,
        #[arg(long, default_value_t = 1_000_000)]
        opens: u64,
    },
    /// So many matching opens a second, spread over pods and executables.
    Paced {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 10)]
        pods: usize,
        #[arg(long, default_value_t = 10)]
        executables: usize,
        #[arg(long, default_value_t = 1_000.0)]
        rate: f64,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

impl Measure {
    /// A figure's JSON.
    pub fn run(self) -> Result<String> {
        Ok(match self {
            Self::Cost {
                auditor,
                tools,
                unrelated,
                rounds,
                opens,
                batches,
            } => serde_json::to_string(&cost::run(&cost::Cost {
                subject: auditor.subject()?,
                tools,
                unrelated,
                rounds,
                opens,
                batches,
            })?)?,
            Self::Burst {
                auditor,
                runs,
                opens,
            } => serde_json::to_string(&burst::run(&burst::Burst {
                subject: auditor.subject()?,
                runs,
                opens,
            })?)?,
            Self::Paced {
                auditor,
                pods,
                executables,
                rate,
                seconds,
            } => serde_json::to_string(&paced::run(&paced::Paced {
                subject: auditor.subject()?,
                pods,
                executables,
                rate,
                seconds,
            })?)?,
        })
    }
}
