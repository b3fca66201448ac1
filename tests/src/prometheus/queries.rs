//! Queries of the dashboard, put to the Prometheus that watched the scenes.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::Api;

/// One query of one panel, its variables filled in.
#[derive(Deserialize, Serialize)]
pub struct Query {
    pub panel: String,
    pub expr: String,
    pub instant: bool,
    /// Where nothing of it happens in the suite: what asks the API server, and what must not be.
    #[serde(default)]
    pub may_be_empty: bool,
    /// `data` of the answer; filled in here.
    #[serde(default)]
    pub data: Value,
}

/// A JSON list of [`Query`].
pub fn read(path: &Path) -> Result<Vec<Query>> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Puts each to Prometheus, over the time since `start`; whether each was answered, and why not.
pub fn ask(api: &Api, queries: &mut [Query], start: f64) -> Vec<Result<(), String>> {
    let end = now();
    queries
        .iter_mut()
        .map(|query| {
            let answer = if query.instant {
                api.query(&query.expr)
            } else {
                api.query_range(&query.expr, start, end, 1.0)
            };
            let data = answer.map_err(|error| format!("{}: {error:#}", query.panel))?;
            let is_empty = data["result"].as_array().is_none_or(Vec::is_empty);
            query.data = data;
            if is_empty && !query.may_be_empty {
                return Err(format!("{}: no data: {}", query.panel, query.expr));
            }
            Ok(())
        })
        .collect()
}

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
