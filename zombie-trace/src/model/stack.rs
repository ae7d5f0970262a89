use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Comm;

/// A call stack that samples of parents refer to: the JSON object `stack` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stack {
    /// When it was written.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// Its number, unique in a run.
    pub id: u64,
    /// The outermost frames are missing: the stack could not be followed to its end.
    pub truncated: bool,
    /// Some caller was found by a frame pointer, as no table is about the code. A function without a frame
    /// of its own can be missing there.
    #[serde(default)]
    pub frame_pointers: bool,
    /// Its frames, innermost first; at most [`FRAMES`](Self::FRAMES).
    #[serde(deserialize_with = "bounded_frames")]
    pub frames: Vec<Frame>,
}

impl Stack {
    /// More frames are left out, outermost first.
    pub const FRAMES: usize = 1024;

    /// A stack of these frames; more than [`FRAMES`](Self::FRAMES) are cut, which truncates it.
    pub fn new(ts: Timestamp, id: u64, mut frames: Vec<Frame>, truncated: bool) -> Self {
        let is_cut = frames.len() > Self::FRAMES;
        frames.truncate(Self::FRAMES);
        Self {
            ts,
            id,
            truncated: truncated || is_cut,
            frame_pointers: false,
            frames,
        }
    }

    /// Found by frame pointers, in part.
    #[must_use]
    pub fn with_frame_pointers(mut self) -> Self {
        self.frame_pointers = true;
        self
    }
}

/// One function of a [`Stack`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frame {
    /// Its name, demangled; `None` if there is no symbol for it.
    #[serde(deserialize_with = "bounded_text")]
    pub function: Option<Arc<str>>,
    /// The source file.
    #[serde(deserialize_with = "bounded_text")]
    pub file: Option<Arc<str>>,
    /// The line in it.
    pub line: Option<u32>,
    /// The program or library that holds the code, as a path in the parent's mount namespace.
    #[serde(deserialize_with = "bounded_text")]
    pub module: Option<Arc<str>>,
    /// The module's build ID, in hexadecimal.
    #[serde(deserialize_with = "bounded_text")]
    pub build_id: Option<Arc<str>>,
    /// The address as an offset in the module's file.
    pub offset: Option<u64>,
    /// The compiler inlined it into the next frame.
    pub inlined: bool,
}

impl Frame {
    /// Names are kept up to this many bytes: those of C++ templates have no limit.
    pub const LONGEST_NAME: usize = 1024;

    /// A frame of this code.
    pub fn of(module: Option<&str>, build_id: Option<&str>, offset: Option<u64>) -> Self {
        Self {
            module: module.map(short),
            build_id: build_id.map(short),
            offset,
            ..Self::default()
        }
    }

    /// With the function's name.
    #[must_use]
    pub fn with_function(mut self, name: &str) -> Self {
        self.function = Some(short(name));
        self
    }

    /// With the place in the source.
    #[must_use]
    pub fn with_source(mut self, file: &str, line: Option<u32>) -> Self {
        self.file = Some(short(file));
        self.line = line;
        self
    }

    /// Inlined into the next frame.
    #[must_use]
    pub fn inlined(mut self) -> Self {
        self.inlined = true;
        self
    }
}

/// What a thread of a parent did while zombies waited for that parent: the JSON object `doing` but for
/// its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Doing {
    /// When it was written.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// The parent.
    pub ppid: u32,
    /// Its command name.
    pub parent_comm: Option<Comm>,
    /// The thread that was sampled.
    pub tid: u32,
    /// Its state.
    pub state: ThreadState,
    /// The number of the [`Stack`].
    pub stack: u64,
    /// The zombie time that these samples stand for, in ns: each sample's interval, times the zombies that
    /// waited in it.
    pub zombie_ns: u64,
    /// The number of samples.
    pub samples: u64,
}

/// What a sampled thread was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ThreadState {
    /// It slept in the kernel.
    Blocked,
    /// It could run, but had no CPU.
    Runnable,
    /// It was running.
    Running,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ThreadState {
    /// As in the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Unknown => "unknown",
        }
    }
}

/// How well samples cover a run: the field `stacks` of the JSON object `summary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StackTotals {
    /// Samples that were asked for, per second.
    pub hz: u32,
    /// Parents are sampled while they have a zombie older than this, in ns.
    pub after_ns: u64,
    /// Samples that gave a stack.
    pub samples: u64,
    /// Samples that were discarded: the thread moved while its stack was copied.
    pub moved: u64,
    /// Samples without a stack: its registers or memory could not be read.
    pub failed: u64,
    /// Samples whose stack is truncated.
    pub truncated: u64,
    /// The zombie time that samples stand for, in ns.
    pub covered_ns: u64,
    /// The zombie time of zombies since they were older than `after_ns`, in ns.
    pub due_ns: u64,
}

/// Sums stop at the largest number, which a recording can hold.
impl std::ops::AddAssign for StackTotals {
    fn add_assign(&mut self, other: Self) {
        self.hz = self.hz.max(other.hz);
        self.after_ns = self.after_ns.max(other.after_ns);
        self.samples = self.samples.saturating_add(other.samples);
        self.moved = self.moved.saturating_add(other.moved);
        self.failed = self.failed.saturating_add(other.failed);
        self.truncated = self.truncated.saturating_add(other.truncated);
        self.covered_ns = self.covered_ns.saturating_add(other.covered_ns);
        self.due_ns = self.due_ns.saturating_add(other.due_ns);
    }
}

/// The first [`Frame::LONGEST_NAME`] bytes, with `…` for the rest.
fn short(text: &str) -> Arc<str> {
    if text.len() <= Frame::LONGEST_NAME {
        return text.into();
    }
    let mut end = Frame::LONGEST_NAME;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}

/// Cut where it is very long.
fn bounded_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    struct Text;

    impl<'de> de::Visitor<'de> for Text {
        type Value = Option<Arc<str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or null")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(short(text)))
        }
    }

    deserializer.deserialize_any(Text)
}

/// The first [`Stack::FRAMES`] of them.
fn bounded_frames<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Frame>, D::Error> {
    struct Frames;

    impl<'de> de::Visitor<'de> for Frames {
        type Value = Vec<Frame>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of frames")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut frames = Vec::new();
            while frames.len() < Stack::FRAMES
                && let Some(frame) = seq.next_element()?
            {
                frames.push(frame);
            }
            while seq.next_element::<de::IgnoredAny>()?.is_some() {}
            Ok(frames)
        }
    }

    deserializer.deserialize_seq(Frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str) -> Frame {
        Frame::default().with_function(function)
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = "é".repeat(Frame::LONGEST_NAME);
        let function = frame(&name).function.unwrap();
        assert_eq!(function.chars().count(), Frame::LONGEST_NAME / 2 + 1);
        assert!(function.ends_with("é…"), "{function}");
        let exact = "x".repeat(Frame::LONGEST_NAME);
        assert_eq!(frame(&exact).function.as_deref(), Some(&*exact));
    }

    #[test]
    fn long_names_and_deep_stacks_are_cut_when_read() {
        let long = "x".repeat(10_000);
        let frame = format!(
            r#"{{"function":"{long}","file":null,"line":1,"module":null,"build_id":null,"offset":null,"inlined":false}}"#
        );
        let frames = vec![frame; 2 * Stack::FRAMES].join(",");
        let line = format!(
            r#"{{"ts":"2026-01-02T03:04:05Z","id":1,"truncated":false,"frames":[{frames}]}}"#
        );
        let stack: Stack = serde_json::from_str(&line).unwrap();
        assert_eq!(stack.frames.len(), Stack::FRAMES);
        let function = stack.frames[0].function.as_deref().unwrap();
        assert_eq!(function.len(), Frame::LONGEST_NAME + "…".len());
    }

    #[test]
    fn more_frames_than_fit_truncate_a_stack() {
        let frames = vec![frame("fib"); Stack::FRAMES + 1];
        let stack = Stack::new(Timestamp::UNIX_EPOCH, 1, frames, false);
        assert!(stack.truncated);
        assert_eq!(stack.frames.len(), Stack::FRAMES);
        let whole = Stack::new(Timestamp::UNIX_EPOCH, 1, vec![frame("main")], false);
        assert!(!whole.truncated);
    }

    #[test]
    fn a_state_of_a_later_version_is_unknown() {
        let state: ThreadState = serde_json::from_str(r#""parked""#).unwrap();
        assert_eq!(state, ThreadState::Unknown);
    }
}
