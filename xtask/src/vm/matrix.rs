//! Scene × backend, read from the lab's lines on the guest's console.

use std::{collections::BTreeMap, fmt};

use crate::summary;

/// Filled line by line; printed when the boot is over.
#[derive(Default)]
pub struct Matrix {
    /// In the order in which they ran.
    backends: Vec<String>,
    /// Scene names in the order in which they were first played.
    scenes: Vec<String>,
    /// (scene, index of backend) -> passed.
    cells: BTreeMap<(String, usize), bool>,
    summaries: usize,
}

impl Matrix {
    /// Takes `guest: lab play … --backend NAME …`, `ok   SCENE …`, `FAIL SCENE …` and summaries; passes over the rest.
    pub fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let first = words.next();
        if line.starts_with("guest: lab play ") {
            let backend = words.skip_while(|word| *word != "--backend").nth(1);
            self.backends.push(backend.unwrap_or("auto").to_owned());
        } else if let (Some(mark @ ("ok" | "FAIL")), Some(scene)) = (first, words.next()) {
            // `FAIL at the end: …` is about what came after the last scene.
            let scene = if scene == "at" {
                "after the last scene"
            } else {
                scene
            };
            self.scene(scene, mark == "ok");
        } else if summary::lab(line.trim()).is_some() {
            self.summaries += 1;
        }
    }

    /// Backends whose scenes all ran to the end, with whatever result.
    pub fn completed(&self) -> usize {
        self.summaries
    }

    fn scene(&mut self, name: &str, passed: bool) {
        let Some(backend) = self.backends.len().checked_sub(1) else {
            return;
        };
        if !self.scenes.iter().any(|scene| scene == name) {
            self.scenes.push(name.to_owned());
        }
        self.cells.insert((name.to_owned(), backend), passed);
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<30}", "scene")?;
        for backend in &self.backends {
            write!(f, " {backend:>8}")?;
        }
        writeln!(f)?;
        for scene in &self.scenes {
            write!(f, "{scene:<30}")?;
            for backend in 0..self.backends.len() {
                let cell = match self.cells.get(&(scene.clone(), backend)) {
                    Some(true) => "ok",
                    Some(false) => "FAIL",
                    None => "-",
                };
                write!(f, " {cell:>8}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_scene_a_column_a_backend() {
        let mut matrix = Matrix::default();
        let console = "ok   stray before any job\n\
            guest: lab play --auditor /auditor --backend fentry --color never\n\
            ok   own-irsa    a pod opens its token => open\n\
            FAIL theft       another pod's token => nothing\n\
            1 passed, 1 failed\n\
            guest: lab play --auditor /auditor --backend kprobe --color never\n\
            ok   own-irsa    a pod opens its token => open\n";
        console.lines().for_each(|line| matrix.line(line));
        let shown = matrix.to_string();
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        let expected = [
            ["scene", "fentry", "kprobe"],
            ["own-irsa", "ok", "ok"],
            ["theft", "FAIL", "-"],
        ];
        assert_eq!(rows, expected);
        assert_eq!(matrix.completed(), 1);
    }
}
