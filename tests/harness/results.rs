//! What a client writes: results, one a line, each task's exactly once.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One result line.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct TaskResult {
    /// The task's name, or its line number.
    #[serde(deserialize_with = "name_or_number")]
    pub id: String,
    /// The kind.
    #[serde(default)]
    pub task: Option<String>,
    /// `ok` or `error`.
    pub status: Status,
    /// The worker whose result this is.
    #[serde(default)]
    pub worker: Option<String>,
    /// How many attempts there were.
    #[serde(default)]
    pub attempts: u32,
    /// How long the kernel ran, in milliseconds.
    #[serde(default)]
    pub run_ms: Option<f64>,
    /// What it computed.
    #[serde(default)]
    pub output: Value,
    /// Why it did not.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has an output.
    Ok,
    /// It has an error.
    Error,
}

/// A task's error.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Failure {
    /// What kind of error.
    pub code: String,
    /// What was wrong.
    pub message: String,
}

fn name_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(name) => Ok(name),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("an id that is neither text nor number: {other}"))),
    }
}

/// The results of a run, in the order in which they came.
#[derive(Clone, PartialEq, Debug)]
pub struct Results(Vec<TaskResult>);

impl Results {
    /// Reads result lines.
    ///
    /// # Panics
    /// When a line is not a result.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self(lines.into_iter().map(result).collect())
    }

    /// All of them, in order.
    pub fn all(&self) -> &[TaskResult] {
        &self.0
    }

    /// The result of one task.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, id: &str) -> &TaskResult {
        self.0.iter().find(|result| result.id == id).unwrap_or_else(|| panic!("no result for {id}"))
    }

    /// Requires that exactly these tasks have a result, each one.
    ///
    /// # Panics
    /// Otherwise; the message names the tasks that are missing, repeated, and unknown.
    pub fn assert_exactly_once<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> &Self {
        let wanted: BTreeSet<&str> = ids.into_iter().collect();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for result in &self.0 {
            *times.entry(&result.id).or_default() += 1;
        }
        let missing: Vec<&str> = wanted.iter().copied().filter(|id| !times.contains_key(id)).collect();
        let unknown: Vec<&str> = times.keys().copied().filter(|id| !wanted.contains(id)).collect();
        let repeated: Vec<(&str, usize)> = times.into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(
            missing.is_empty() && repeated.is_empty() && unknown.is_empty(),
            "not exactly one result a task: missing {missing:?}, repeated {repeated:?}, unknown {unknown:?}"
        );
        self
    }

    /// Requires that every result is an output.
    ///
    /// # Panics
    /// Otherwise; the message has the results that are not.
    pub fn assert_all_ok(&self) -> &Self {
        let failed: Vec<&TaskResult> = self.0.iter().filter(|result| result.status != Status::Ok).collect();
        assert!(failed.is_empty(), "failed: {failed:#?}");
        self
    }

    /// Requires that every result is an output of a first attempt.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_first_attempts(&self) -> &Self {
        self.assert_all_ok();
        let again: Vec<&TaskResult> = self.0.iter().filter(|result| result.attempts != 1).collect();
        assert!(again.is_empty(), "not at the first attempt: {again:#?}");
        self
    }

    /// The results that took more than one attempt.
    pub fn moved(&self) -> Vec<&TaskResult> {
        self.0.iter().filter(|result| result.attempts > 1).collect()
    }

    /// How many results each worker has given.
    pub fn by_worker(&self) -> BTreeMap<&str, usize> {
        let mut shares = BTreeMap::new();
        for worker in self.0.iter().filter_map(|result| result.worker.as_deref()) {
            *shares.entry(worker).or_default() += 1;
        }
        shares
    }
}

/// Reads one result line.
///
/// # Panics
/// When it is not one.
pub fn result(line: &str) -> TaskResult {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not a result line ({error}): {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn line(id: &str, worker: &str, attempts: u32) -> String {
        format!(
            r#"{{"id":{id},"task":"sleep","status":"ok","worker":"{worker}","attempts":{attempts},"output":1}}"#
        )
    }

    fn parse(lines: &[String]) -> Results {
        Results::parse(lines.iter().map(String::as_str))
    }

    #[test]
    fn results_are_counted_by_worker_and_by_attempt() {
        let results = parse(&[line(r#""a""#, "w1", 1), line("7", "w2", 2), line(r#""b""#, "w1", 1)]);
        results.assert_exactly_once(["a", "b", "7"]).assert_all_ok();
        assert_eq!(results.by_worker(), BTreeMap::from([("w1", 2), ("w2", 1)]));
        assert_eq!(results.moved(), [results.get("7")]);
        assert!(catch_unwind(|| results.assert_first_attempts().all().len()).is_err());
    }

    #[test]
    fn missing_repeated_and_unknown_results_are_all_named() {
        let results = parse(&[line("1", "w1", 1), line("1", "w1", 1), line("2", "w1", 1)]);
        let failed = catch_unwind(|| results.assert_exactly_once(["1", "3"]).all().len()).unwrap_err();
        let message = failed.downcast_ref::<String>().unwrap();
        assert!(message.contains(r#"missing ["3"], repeated [("1", 2)], unknown ["2"]"#), "{message}");
    }

    #[test]
    fn an_error_line_has_a_code_and_no_worker() {
        let results = parse(&[
            r#"{"id":"x","task":"matmul","status":"error","attempts":1,"error":{"code":"timeout","message":"m"}}"#
                .to_owned(),
        ]);
        assert_eq!(results.get("x").error.as_ref().unwrap().code, "timeout");
        assert!(results.by_worker().is_empty());
        assert!(catch_unwind(|| results.assert_all_ok().all().len()).is_err());
    }
}
