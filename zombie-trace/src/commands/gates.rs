use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;

use crate::{
    args::{self, GateArgs},
    exit_code::ExitCode,
    gate::{Condition, Format, Judged, Verdict, render},
    stderr::{say, workflow_command},
    system::{Access, NewFile, Replacement},
};

/// The conditions of a run and where is told what becomes of them.
#[derive(Debug)]
pub(crate) struct Gates {
    conditions: Vec<Condition>,
    format: Format,
    /// Opened before the run: an error must show before it, not after.
    junit: Option<(File, Replacement)>,
}

impl Gates {
    /// For these conditions.
    ///
    /// # Errors
    /// The file of [`Format::Junit`] can't be created.
    pub(crate) fn open<K: args::Conditions>(args: &GateArgs<K>) -> anyhow::Result<Self> {
        let format = args.format();
        let junit = match format {
            Format::Junit(path) => {
                let opened =
                    create(path).with_context(|| format!("cannot open --format {format}"))?;
                Some(opened)
            }
            _ => None,
        };
        Ok(Self {
            conditions: args.conditions().to_vec(),
            format: format.clone(),
            junit,
        })
    }

    /// There is nothing to judge.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Judges each of them, reports it, and gives whether any holds. `error_ns`: what a zombie time is exact
    /// to.
    ///
    /// # Errors
    /// The file of [`Format::Junit`] can't be written.
    pub(crate) fn judge(
        self,
        error_ns: u64,
        verdict: impl Fn(Condition) -> Verdict,
    ) -> anyhow::Result<bool> {
        let judged: Vec<_> = self
            .conditions
            .into_iter()
            .map(|condition| Judged {
                condition,
                verdict: verdict(condition),
                error_ns,
            })
            .collect();
        let on_stderr = match self.format {
            Format::Junit(_) => &Format::Text,
            ref format => format,
        };
        for line in render(&judged, on_stderr).lines() {
            match on_stderr {
                Format::Github => workflow_command(line),
                _ => say(line),
            }
        }
        if let Some((mut file, replacement)) = self.junit {
            file.write_all(render(&judged, &self.format).as_bytes())
                .and_then(|()| replacement.replace())
                .with_context(|| format!("cannot write to --format {}", self.format))?;
        }
        Ok(judged.iter().any(Judged::failed))
    }

    /// Judges, and gives the exit status of a command that has done its work.
    ///
    /// # Errors
    /// As [`judge`](Self::judge), with the option's name.
    pub(crate) fn conclude(
        self,
        error_ns: u64,
        verdict: impl Fn(Condition) -> Verdict,
    ) -> anyhow::Result<ExitCode> {
        Ok(match self.judge(error_ns, verdict)? {
            true => ExitCode::ConditionHolds,
            false => ExitCode::Success,
        })
    }
}

fn create(path: &Path) -> io::Result<(File, Replacement)> {
    let (file, replacement) = NewFile::create(path, Access::Usual)?;
    Ok((file.open_at_once()?, replacement))
}
